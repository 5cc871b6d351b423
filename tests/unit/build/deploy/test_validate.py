"""An uploaded release is looked at by its host before anything runs it: by the real gateway and the real systemd."""

import json
import sys
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from build.deploy.prepare import gateway_code
from build.deploy.switch import validate
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import Target
from tests.support.hosts import DESCRIPTION

REPOSITORY = Path(__file__).parents[4]
GOLDEN = REPOSITORY / "tests" / "golden" / "vm"
ENGINES = ("gemma3_multimodal", "mistral_balanced", "phi4_fast", "qwen_coder")
RELEASE = "20260131T120000-aaaaaaaa"


@pytest.fixture
def host(tmp_path: Path, systemd_analyze: str) -> Host:
    """A host whose only release is the one of the four production models; nothing is current."""
    assert systemd_analyze
    release = tmp_path / "releases" / RELEASE
    for path in GOLDEN.rglob("*"):
        if path.is_file():
            copy = release / path.relative_to(GOLDEN)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(path.read_text().replace("/opt/axion", str(tmp_path)))
    described = replace(DESCRIPTION, units=dict.fromkeys(("gateway", *ENGINES), "digest"), files={})
    (release / "release.json").write_text(described.to_json())
    for code in gateway_code():
        path = release / code.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code.text)
    python = release / "build" / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return Host(
        Target(name="main", root=str(tmp_path), runner="systemd", python=sys.executable), LocalExecutor(), Reporter()
    )


def file(host: Host, path: str) -> Path:
    return Path(host.target.root) / "releases" / RELEASE / path


def problems(host: Host) -> tuple[str, ...]:
    with pytest.raises(DeployError) as caught:
        validate(host, RELEASE)
    return caught.value.problems


def test_the_release_of_the_production_models_is_accepted_on_a_host_that_runs_nothing_yet(host: Host) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path(host.target.root).rglob("*")}
    validate(host, RELEASE)
    assert {path: path.stat().st_mtime_ns for path in Path(host.target.root).rglob("*")} == before


def test_units_that_systemd_does_not_understand_are_named_with_their_lines(host: Host) -> None:
    unit, dropin = (
        file(host, "systemd/gateway.service"),
        file(host, "systemd/vllm@phi4_fast.service.d/50-resources.conf"),
    )
    unit.write_text(unit.read_text().replace("[Service]", "[Service]\nNonsense=1", 1))
    dropin.write_text(dropin.read_text() + "MemoryMax=much\n")
    line = unit.read_text().splitlines().index("Nonsense=1") + 1
    told = "\n".join(problems(host))
    assert f"systemd: gateway.service:{line}: Unknown key" in told
    assert "Nonsense" in told
    assert "vllm@phi4_fast.service.d/50-resources.conf:" in told
    assert "much" in told
    assert "Nothing was switched; correct the models file or templates/." in told


def test_a_program_that_is_not_in_the_environment_is_noticed_before_it_is_started(host: Host) -> None:
    unit = file(host, "systemd/vllm@.service")
    unit.write_text(unit.read_text().replace("/venv/bin/python ", "/venv/bin/python3.99 "))
    assert "python3.99" in "\n".join(problems(host))


def test_a_configuration_that_the_gateway_refuses_is_noticed_before_the_switch(host: Host) -> None:
    config = file(host, "gateway.json")
    config.write_text(config.read_text().replace('"default_model"', '"default_modell"'))
    (told,) = problems(host)
    assert told.startswith("gateway.json: the gateway does not accept it: ")
    assert "default_model" in told


def test_a_release_without_its_environment_is_one_problem_and_no_traceback(host: Host) -> None:
    file(host, "build/venv/bin/python").unlink()
    (told,) = problems(host)
    assert told.startswith("release: cannot be looked at: [Errno 2] No such file or directory")
    assert told.endswith(f"Nothing was switched; {AT_THE_HOST}.")


AT_THE_HOST = "see that the host's disks have room and are whole, then run the same command again"


def test_what_the_host_has_lost_is_not_laid_to_the_models_file(host: Host) -> None:
    """As on a full or a broken disk: who then corrects the models file looks in vain."""
    config, code, described = (file(host, path) for path in ("gateway.json", "lib/gateway/app.py", "release.json"))
    digests = {
        "gateway.json": sha256(config.read_bytes()).hexdigest(),
        "lib/gateway/app.py": sha256(code.read_bytes()).hexdigest(),
    }
    described.write_text(json.dumps({**json.loads(described.read_text()), "files": digests}))
    validate(host, RELEASE)
    config.write_text("")
    code.unlink()
    assert sorted(problems(host)) == [
        f"gateway.json: not as it was put there, got other content. Nothing was switched; {AT_THE_HOST}.",
        f"lib/gateway/app.py: not as it was put there: No such file or directory. Nothing was switched; {AT_THE_HOST}.",
    ]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"files": ["a"]}, "files is no mapping, got ['a']"),
        ({"files": {"a\0b": "1"}}, "embedded null byte"),
        ({"units": ["gateway"]}, "units is no mapping, got ['gateway']"),
        ({"schema": "axion.release/9"}, "axion.release/1 is understood here, got 'axion.release/9'"),
    ],
)
def test_a_description_that_is_none_is_a_sentence(host: Host, changes: dict[str, object], said: str) -> None:
    described = file(host, "release.json")
    described.write_text(json.dumps({**json.loads(described.read_text()), **changes}))
    told = "\n".join(problems(host))
    assert "release: cannot be looked at: " in told
    assert said in told
    assert "Traceback" not in told
