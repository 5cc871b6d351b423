"""What Fabric's own parser would end in a traceback with, or say misleadingly."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fabric.main import program

import fabfile

ROOT = Path(fabfile.__file__).parent
CONFIG = "--config, --ssh-config: cannot be read:"
NOT_NEEDED = "Leave it out: no task needs it."


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """What `fab` prints when it refuses."""

    def refused(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            program.run(["fab", f"--search-root={ROOT}", *words])
        out, err = capsys.readouterr()
        assert (ended.value.code, out) == (1, "")
        return err

    return refused


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("status -T x", "--command-timeout: not a whole number, got x. Give one in digits, or leave it out."),
        ("status -t 1e3", "--connect-timeout: not a whole number, got 1e3. Give one in digits, or leave it out."),
        ("status -D -1", "--list-depth: not a whole number, got -1. Give one in digits, or leave it out."),
        (
            "status --command-timeout=abc",
            "--command-timeout: not a whole number, got abc. Give one in digits, or leave it out.",
        ),
        ("status -- x y", "--: no command is run on hosts here, got x y. Leave it out: `fab --list` names the tasks."),
        (
            "--hosts a,b status -- x",
            "--: no command is run on hosts here, got x. Leave it out: `fab --list` names the tasks.",
        ),
        ("status --host a --host b", "--host: given more than once, got b too. Give it once."),
        ("status --host=a --host=b", "--host: given more than once, got b too. Give it once."),
        ("status --host=a --host=a", "--host: given more than once, got a too. Give it once."),
        (
            "plan --models=x --host x x",
            "x: no task, and `fab plan` takes no such word. `fab --list` names the tasks, `fab --help plan` names its "
            "options.",
        ),
        ("status --json=5", "--json: takes no value, got 5. Leave the value out."),
        ("status --json=", '--json: takes no value, got "". Leave the value out.'),
        (
            "status --json 5",
            "5: no task, and `fab status` takes no such word. `fab --list` names the tasks, `fab --help status` names "
            "its options.",
        ),
        (
            "status it's",
            "it's: no task, and `fab status` takes no such word. `fab --list` names the tasks, `fab --help status` "
            "names its options.",
        ),
        ("--list nope", "--list: no group of tasks, got nope. `fab --list` names all tasks."),
        ("status --hosts", "--hosts: without a value. Give one: `fab --help status` names its options."),
        ("status -S /no/file", f"{CONFIG} /no/file: No such file or directory. {NOT_NEEDED}"),
        (
            "status --prompt-for-sudo-password",
            "--prompt-for-sudo-password: has no effect here. Leave it out: no task needs a password.",
        ),
    ],
)
def test_what_follows_a_task_is_refused_in_a_sentence(words: str, line: str, said: Callable[..., str]) -> None:
    assert said(*words.split()) == f"{line}\n"


@pytest.mark.parametrize(
    ("option", "name", "content", "why"),
    [
        ("-f", "a.json", b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("-f", "a.yaml", b"- a\n", "'list' object has no attribute 'items'"),
        ("-f", "a.py", b"1/0\n", "division by zero"),
        ("-S", "a", b"\xff\xfe", "not UTF-8 at byte 1"),
        ("-S", "a", b"Match foo\n", "Missing parameter to Match 'foo' keyword"),
    ],
)
def test_a_file_of_settings_that_holds_nonsense_is_one_sentence(
    option: str, name: str, content: bytes, why: str, tmp_path: Path, said: Callable[..., str]
) -> None:
    (tmp_path / name).write_bytes(content)
    assert said(option, str(tmp_path / name), "status") == f"{CONFIG} {why}. {NOT_NEEDED}\n"


def test_settings_of_ssh_that_fabric_cannot_read_stop_no_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hosts are reached by what the inventory says, and by nothing else."""
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Match foo\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AXION_LOCAL_ROOT", str(tmp_path / "root"))
    program.run(["fab", f"--search-root={ROOT}", "history"], exit=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("task", ["status", "doctor", "start"])
def test_two_sources_of_hosts_are_refused_before_either_is_read(task: str, said: Callable[..., str]) -> None:
    line = "--stack, --inventory: two sources of hosts, got nope and /no/file. Give one of them.\n"
    assert said(task, "--stack", "nope", "--inventory", "/no/file") == line


OUTPUTS = "read the stack's outputs"


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("status", OUTPUTS),
        ("plan", OUTPUTS),
        ("build-and-deploy", OUTPUTS),
        ("logs gateway", OUTPUTS),
        ("unlock", OUTPUTS),
        ("start", OUTPUTS),
        ("up", "run `pulumi preview`"),
        ("up --yes", "export the stack's state"),
        ("recover", "ask for Pulumi's backend"),
        ("move --zone us-central1-b", "ask for Pulumi's backend"),
    ],
)
def test_every_task_without_pulumi_says_how_to_get_it(
    words: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: Callable[..., str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("build.cli.inventory.cache_of", lambda _stack: tmp_path / "none.json")
    line = f"{what}: pulumi is not on PATH. Install it: https://www.pulumi.com/docs/install.\n"
    assert said(*words.split(), "--stack", "dev") == line
