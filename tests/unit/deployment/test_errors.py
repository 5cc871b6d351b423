"""No sentence has two full stops, however what it quotes ends: the classes that carry sentences see to it."""

import urllib.error

import pytest

from build.errors import ConnectionLostError, DeployError
from build.remote.command import Result
from build.remote.jobs import StepFailedError
from deployment.errors import ConfigError, ended_once, why

ENDS = {
    "no end": "no end",
    "a full stop.": "a full stop",
    "a line's end\n": "a line's end",
    "both.\n": "both",
    "a blank too. ": "a blank too",
    "a colon:": "a colon",
    "a comma,\n": "a comma",
    "[Errno 2] No such file or directory: '/x.yaml'": "[Errno 2] No such file or directory: '/x.yaml'",
    "(in brackets).": "(in brackets)",
    '"quoted".': '"quoted"',
    "`a command`.": "`a command`",
}
KEPT = {"three...": "three...", "who?": "who?", "no!": "no!", "an ellipsis…": "an ellipsis…"}


@pytest.mark.parametrize("kind", [DeployError, ConnectionLostError, lambda *problems: ConfigError(problems)])
@pytest.mark.parametrize("quoted", [*ENDS, *KEPT])
def test_a_sentence_ends_once_whatever_it_quotes(kind: type[DeployError], quoted: str) -> None:
    error = kind(f"file.yaml: cannot be read: {quoted}. Give another.", "second: wrong, got 1. Do Y.")
    end = KEPT[quoted] if quoted in KEPT else f"{ENDS[quoted]}."
    assert error.problems == (f"file.yaml: cannot be read: {end} Give another.", "second: wrong, got 1. Do Y.")
    assert str(error) == "\n".join(error.problems)


@pytest.mark.parametrize(
    "text",
    [
        "paths: ../.. and . and .. and /a/.. are paths, got 1.5 and a..b and x.y. Do `pip install . --upgrade`.",
        "models.yaml:3 a.b: gone from vLLM: preempted sequences are recomputed. ...",
        "x: failed with exit status 1. Read its last lines:\n    . /etc/profile; . ./env\n    Loading... done",
        "three dots... in the middle, e.g. i.e. and so on.",
    ],
)
def test_what_is_no_end_of_a_sentence_is_left_alone(text: str) -> None:
    assert ended_once(text) == text


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        ("\x1b]0;title\x07", "\\u001b]0;title\\u0007"),
        ("\x9b31m\x7f\r", "\\u009b31m\\u007f\\r"),
        ("\ud800 \u202e \u2028", "\\ud800 \\u202e \\u2028"),
        ("two\nlines\tand größe 漢字 🙂", "two\nlines\tand größe 漢字 🙂"),
    ],
)
def test_no_sentence_commands_a_terminal(quoted: str, shown: str) -> None:
    assert DeployError(f"a: wrong, got {quoted} here.").problems == (f"a: wrong, got {shown} here.",)
    assert ConfigError([f"a: wrong, got {quoted} here."]).problems == (f"a: wrong, got {shown} here.",)


def test_it_holds_where_errors_are_made_of_errors() -> None:
    inner = DeployError("b: no, got c. Do d.")
    assert str(DeployError(f"a: failed as well: {inner}. Look.")) == "a: failed as well: b: no, got c. Do d. Look."
    step = StepFailedError("unpack.", Result(status=1, stdout="", stderr="tar: no.\n"))
    assert ".." not in str(step)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), "No such file or directory"),
        (urllib.error.URLError(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (urllib.error.URLError("unknown url type: x"), "unknown url type: x"),
        (TimeoutError("timed out"), "timed out"),
        (UnicodeDecodeError("utf-8", b"ab\xff", 2, 3, "invalid start byte"), "not UTF-8 at byte 3"),
    ],
)
def test_why_is_said_without_a_number_and_without_the_path_again(error: Exception, said: str) -> None:
    assert why(error) == said
