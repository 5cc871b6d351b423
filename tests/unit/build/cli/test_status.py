"""What `fab status` says of every model."""

from dataclasses import asdict
from typing import Any

import pytest

from build.cli.status import status_rows, status_table
from tests.support.hosts import SEEN, facts
from tests.unit.build.cli.test_output import text_of


def row(model: str = "alpha", **changes: Any) -> dict[str, Any]:
    (found,) = (each for each in status_rows(facts(**changes)) if each.model == model)
    return asdict(found)


def test_a_model_that_serves() -> None:
    served = {"state": "ready", "process": "running", "pid": 1, "up_to_date": True, "in_flight": 0, "requests": 3}
    assert row() == {"model": "alpha", **served}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gateway": None}, {"state": "unknown", "in_flight": None}),
        ({"gateway": {"unit_digest": "ug", "config_digest": "g1", "models": {}}}, {"state": "not served"}),
        ({"runner": None}, {"process": "none", "pid": None}),
        ({"runner": {"alpha": {"state": "STARTING", "pid": 5}}}, {"process": "running", "pid": 5}),
        ({"runner": {"alpha": {"state": "FATAL", "pid": 0}}}, {"process": "given up", "pid": None}),
        ({"runner": {"alpha": {"state": "BACKOFF", "pid": 0}}}, {"process": "restarting"}),
        ({"runner": {"alpha": {"state": "STOPPED", "pid": 0}}}, {"process": "stopped"}),
        ({"engines": {}}, {"up_to_date": False}),
        ({"engines": {"alpha": {"unit_digest": "u0", "pid": 1}}}, {"up_to_date": False}),
    ],
)
def test_status_says_in_words_what_is_wrong(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    found = row(**changes)
    assert {key: found[key] for key in expected} == expected


def test_an_engine_that_no_release_wants_any_more_is_shown() -> None:
    stray = {"unit_digest": "u7", "pid": 70}
    assert row("stray", engines={"stray": stray})["up_to_date"] is False
    assert [each.model for each in status_rows(facts())] == ["alpha", "beta"]


def test_the_status_table_holds_every_word_of_its_rows() -> None:
    lines = text_of(status_table(status_rows(facts()))).splitlines()
    assert lines[0].split() == ["model", "state", "process", "pid", "up", "to", "date", "in", "flight", "requests"]
    assert lines[1].split() == ["alpha", "ready", "running", "1", "yes", "0", "3"]
    nobody = text_of(status_table(status_rows(facts(gateway=None, runner=None)))).splitlines()
    assert nobody[1].split() == ["alpha", "unknown", "none", "-", "yes", "-", "-"]


def test_a_state_that_looks_like_markup_is_shown_as_it_is() -> None:
    seen = {"alpha": {**SEEN["alpha"], "state": "[/x]"}}
    rows = status_rows(facts(gateway={"unit_digest": "ug", "config_digest": "g1", "models": seen}))
    assert "[/x]" in text_of(status_table(rows))
