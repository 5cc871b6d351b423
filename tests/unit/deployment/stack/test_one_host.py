"""A host's settings as another Pulumi program gives them: what nothing would read there is refused."""

import pytest

from deployment.errors import ConfigError
from deployment.stack.one_host import one_host


def test_what_only_a_stack_means_is_refused_where_there_is_one_host() -> None:
    settings = {"machineType": "n2", "zone": "us-central1-b", "zones": ["us-central1-f"], "onDemandFallback": True}
    with pytest.raises(ConfigError) as caught:
        one_host({**settings, "models": "small.yaml", "spot": True, "dataDiskGib": 300})
    assert caught.value.problems == (
        'settings zone: nothing here reads it, got "us-central1-b". Give it as the input zone.',
        'settings zones: nothing here reads it, got ["us-central1-f"]. `fab up` of a stack tries them: delete it.',
        "settings onDemandFallback: nothing here reads it, got true. `fab up` of a stack falls back: delete it.",
        'settings models: nothing here reads it, got "small.yaml". only `fab` reads it, of a stack: delete it.',
        'settings machineType: not an Axion machine, got "n2". Use one such as c4a-standard-32.',
    )


def test_a_host_that_says_only_what_is_read_passes() -> None:
    one = one_host({"machineType": "c4a-standard-8", "spot": True, "dataDiskGib": 300})
    assert (one.shape.vcpus, one.data_disk.size_gib, one.settings.spot) == (8, 300, True)
