"""The judge of the chaos: each kind of fault is counted, and what an engine could not know is not held against it."""

from pathlib import Path

import pytest

from bench.chaos_report import Outcome, cancel_latencies_ms, read_logs, summary

MS = 1_000_000


def event(number: int, user: str = "7") -> bytes:
    return f'data: {{"user": "{user}", "number": {number}, "filler": "x"}}'.encode()


DONE = b"data: [DONE]"
FAILED = b'data: {"error": {"code": "upstream_error", "message": "why"}}'


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([event(0), event(1), b": ping", event(2), DONE], {}),
        ([event(0), event(1), FAILED], {}),
        ([event(0), event(2), DONE], {"lost": 1}),
        ([event(0), event(2), FAILED], {"lost": 1}),
        ([event(0), event(1), DONE], {"lost": 1}),
        ([DONE], {"lost": 3}),
        ([event(1), event(0), event(2), DONE], {"reordered": 1}),
        ([event(0), event(0), event(1), event(2), DONE], {"reordered": 1}),
        ([event(0), event(1) + event(2), DONE], {"merged": 1, "lost": 2}),
        ([event(0), event(1, user="8"), event(1), event(2), DONE], {"merged": 1}),
        ([event(0), event(1), event(2), DONE, event(3)], {"merged": 1}),
        ([event(0), b"data: {", event(1), event(2), DONE], {"merged": 1}),
    ],
)
def test_each_kind_of_fault_is_counted(events: list[bytes], expected: dict[str, int]) -> None:
    seen = Outcome(user="7", model="a", asked_events=3, status=200)
    for each in events:
        seen.see(each)
    found = summary([seen])
    assert {name: found[name] for name in ("lost", "merged", "reordered") if found[name]} == expected


def test_what_clients_saw_is_counted_by_what_it_was() -> None:
    seen = [Outcome(user=str(number), model="a", asked_events=0) for number in range(5)]
    seen[0].is_done = True
    seen[1].left_ns = 1
    seen[2].code = "queue_full"
    seen[3].status = 503
    seen[4].is_cut = True
    faults = {"lost": 0, "merged": 0, "reordered": 0, "cut without a word": 1}
    assert summary(seen) == {"left": 1, "told 503": 1, "told queue_full": 1, "whole": 1, **faults}


@pytest.mark.parametrize(
    ("log", "stops", "expected"),
    [
        ("began 7 10\nleft 7 130\n", [], ([30.0], 0)),
        ("began 7 10\nleft 7 130\n", [("b", 90, 140)], ([30.0], 0)),  # of another engine
        ("began 7 10\nleft 7 130\n", [("a", 110, 140)], ([], 0)),  # it was stopped just then
        ("began 7 10\nended 7 90\n", [], ([], 0)),
        ("began 8 10\n", [], ([], 0)),
        ("began 7 10\n", [], ([], 1)),
        ("began 7 10\n", [("a", 50, 60)], ([], 0)),  # killed before its client left
        ("began 7 10\n", [("a", 400, 450)], ([], 0)),  # and after
        ("began 7 10\n", [("a", 1, 5)], ([], 1)),  # before it began
    ],
)
def test_a_departure_is_timed_by_the_engines_own_log(
    tmp_path: Path, log: str, stops: list[tuple[str, int, int]], expected: tuple[list[float], int]
) -> None:
    lines = (line.rsplit(" ", 1) for line in log.splitlines())
    (tmp_path / "a.log").write_text("".join(f"{words} {int(at) * MS}\n" for words, at in lines))
    left = Outcome(user="7", model="a", asked_events=3, left_ns=100 * MS)
    scaled = [(model, begin * MS, end * MS) for model, begin, end in stops]
    assert cancel_latencies_ms([left], read_logs([tmp_path / "a.log"]), scaled) == expected
