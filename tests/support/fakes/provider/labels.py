"""Labels as the real provider keeps them: yours, yours with the provider's defaults, and all that are there."""

from typing import Any

from tests.support.fakes.provider.kinds import ATTRIBUTION, Defaults

Json = dict[str, Any]


def wanted(inputs: Json, defaults: Defaults) -> dict[str, str]:
    """What a request sends."""
    return {**ATTRIBUTION, **dict(defaults.labels), **inputs.get("labels", {})}


def outputs(there: dict[str, str], inputs: Json, defaults: Defaults) -> Json:
    """What is shown: a label that somebody else added is in effectiveLabels only, and is left alone."""
    ours = {**dict(defaults.labels), **inputs.get("labels", {})}
    return {
        "labels": {key: value for key, value in there.items() if key in inputs.get("labels", {})},
        "pulumiLabels": {**ATTRIBUTION, **{key: there[key] for key in ours if key in there}},
        "effectiveLabels": dict(there),
    }
