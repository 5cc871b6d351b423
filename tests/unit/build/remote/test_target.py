"""Where things are on a host, and what of the caller's environment gets there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from build.remote.target import REPOSITORY, Target, local_target
from deployment.errors import ConfigError

OPT = Target(name="a host", root="/opt/axion", runner="systemd", python="python3")


def test_paths_below_the_root() -> None:
    assert OPT.current == "/opt/axion/current"
    assert OPT.release("20260131T120000-a") == "/opt/axion/releases/20260131T120000-a"
    assert OPT.checkpoint("alpha", "0123") == "/opt/axion/models/alpha/0123"


def test_this_computer_is_below_the_checkout_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AXION_LOCAL_ROOT", raising=False)
    assert local_target().root == str(Path(__file__).parents[4] / "out" / "local")
    monkeypatch.setenv("AXION_LOCAL_ROOT", str(tmp_path))
    assert local_target().root == str(tmp_path)
    assert local_target(tmp_path / "given").root == str(tmp_path / "given")
    assert local_target().runner == "supervisor"


def test_a_root_is_absolute_and_has_no_link_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths end up in files that other programs read from elsewhere."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AXION_LOCAL_ROOT", "link/root")
    assert local_target().root == str(tmp_path.resolve() / "real" / "root")


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("/", "a directory that many programs share"),
        ("/tmp", "a directory that many programs share"),
        ("/var/tmp", "a directory that many programs share"),
        ("/opt/", "a directory that many programs share"),
        ("/opt/..", "a directory that many programs share"),
        ("/home", "a directory that many programs share"),
        ("~", "a directory that many programs share"),
        (".", "a directory that many programs share"),
        ("..", "a directory that many programs share"),
        ("/proc/self/x", "a directory of the system's own"),
        ("/etc/axion", "a directory of the system's own"),
        ("/opt/a\nb", "with characters that no terminal shows"),
    ],
)
def test_a_root_that_is_not_for_a_deployment_alone_is_refused(
    given: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setenv("AXION_LOCAL_ROOT", str(Path(given).expanduser()) if given == "~" else given)
    with pytest.raises(ConfigError) as caught:
        local_target()
    (told,) = caught.value.problems
    assert told.startswith(f"AXION_LOCAL_ROOT: {why}, got ")
    assert told.endswith(". Give a directory of its own, such as out/local of the checkout.")


def test_an_empty_root_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXION_LOCAL_ROOT", "")
    assert local_target().root == str(REPOSITORY / "out" / "local")


def test_environments_are_made_from_an_interpreter_that_is_not_our_own_environment() -> None:
    python = local_target().python
    ask = "import sys; print(sys.prefix == sys.base_prefix, *sys.version_info[:2])"
    said = subprocess.run([python, "-I", "-c", ask], capture_output=True, text=True, check=True, timeout=30).stdout
    assert said.split() == ["True", *map(str, sys.version_info[:2])]


def test_secrets_of_the_shell_stay_in_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "OPENAI_API_KEY", "SSH_AUTH_SOCK", "PYTHONPATH", "VLLM_PLUGINS"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.delenv("TZ", raising=False)
    kept = local_target(tmp_path).environment
    assert kept["PATH"] == os.environ["PATH"]
    assert kept["LANG"] == "C.UTF-8"
    assert "TZ" not in kept
    assert "secret" not in kept.values()


def test_the_repository_is_the_one_that_holds_this_file() -> None:
    assert Path(__file__).parents[4] == REPOSITORY
