"""One stack, however its name is given: the file it reads, the name things have, and what Pulumi is told."""

from pathlib import Path

import pytest

from build.cli.inventory import cache_of
from deployment.errors import ConfigError
from deployment.stack.file import read_file
from deployment.stack.name import StackName

REPOSITORY = Path(__file__).parents[4]


@pytest.mark.parametrize("given", ["dev", "acme/dev", "axion/dev", "acme/axion/dev", "organization/axion/dev"])
def test_every_form_reads_the_same_file_and_is_told_to_pulumi_as_given(
    given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AXION_PROJECT", str(tmp_path))
    name = StackName(given)
    assert (name, name.short, name.file, StackName(name)) == (given, "dev", "Pulumi.dev.yaml", given)
    assert read_file(given, REPOSITORY).stack == "dev"
    assert cache_of(given) == tmp_path / "out" / "inventory" / "dev.json"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", '--stack: no stack\'s name, got "". Give its name, or ORGANISATION/PROJECT/NAME, as `pulumi stack ls`'),
        ("a/b/c/d", '--stack: no stack\'s name, got "a/b/c/d". Give'),
        ("acme//dev", '--stack: no stack\'s name, got "acme//dev". Give'),
        ("/dev", "--stack: no stack's name"),
        ("dev/", "--stack: no stack's name"),
        ("my dev", "--stack: no stack's name"),
        ("dév", "--stack: no stack's name"),
        ("Pulumi.dev.yaml", "--stack: a file's name, got Pulumi.dev.yaml. Give the stack's own: dev."),
        ("./Pulumi.prod.yml", "--stack: a file's name, got ./Pulumi.prod.yml. Give the stack's own: prod."),
    ],
)
def test_a_bad_name_is_told_in_a_sentence(given: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        StackName(given)
    (problem,) = caught.value.problems
    assert problem.startswith(said)
