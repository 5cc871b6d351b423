"""Which release came before which: by the host's own count, whatever the clocks of the operators said."""

from dataclasses import replace
from typing import Any

import pytest

from build.deploy.facts import Facts
from build.deploy.switch import earlier_release
from build.deploy.upload import stale_releases
from tests.support.hosts import DESCRIPTION, empty_facts, facts

AHEAD, TODAY, BEHIND = "20260202T120000-a", "20260201T120000-b", "19700101T000000-c"


def host(*made: tuple[str, str | None], current: str | None, answered: tuple[str, ...] | None = None) -> Facts:
    """A host with releases in the order that they were made in, each with the one that served then."""
    described: dict[str, Any] = {
        name: replace(DESCRIPTION, sequence=number, follows=follows) for number, (name, follows) in enumerate(made, 1)
    }
    return facts(
        current=current,
        confirmed=current,
        releases=dict(sorted(described.items())),
        answered=sorted(described) if answered is None else answered,
    )


def old(*names: str, current: str) -> Facts:
    """A host whose releases were made before there was a count."""
    return facts(current=current, confirmed=current, answered=names, releases=dict.fromkeys(names, DESCRIPTION))


@pytest.mark.parametrize("last", [AHEAD, TODAY, BEHIND])
@pytest.mark.parametrize("before", [AHEAD, TODAY, BEHIND])
def test_rollback_returns_to_what_served_before_whichever_operators_clock_is_wrong(before: str, last: str) -> None:
    if before != last:
        there = host((before, None), (last, before), current=last)
        assert there.ordered == (before, last)
        assert earlier_release(there) == before
        assert earlier_release(host((before, None), (last, before), current=before)) is None


def test_two_rollbacks_in_a_row_go_back_two_releases() -> None:
    made = (("c1", None), ("b2", "c1"), ("a3", "b2"))
    assert earlier_release(host(*made, current="a3")) == "b2"
    assert earlier_release(host(*made, current="b2")) == "c1"
    assert earlier_release(host(*made, current="c1")) is None


def test_what_was_rolled_back_from_is_not_returned_to() -> None:
    """c3 was bad, b2 served again, d4 was made while it did."""
    made = (("a1", None), ("b2", "a1"), ("c3", "b2"), ("d4", "b2"))
    assert earlier_release(host(*made, current="d4")) == "b2"


def test_a_release_that_never_answered_is_not_returned_to() -> None:
    made = (("a1", None), ("b2", "a1"), ("c3", "a1"))
    assert earlier_release(host(*made, current="c3", answered=("a1", "c3"))) == "a1"


def test_one_that_is_gone_is_replaced_by_the_newest_made_before() -> None:
    made = (("a1", None), ("z2", "a1"), ("c3", "pruned"))
    assert earlier_release(host(*made, current="c3")) == "z2"


def test_releases_without_a_number_come_first_by_name_and_rollback_goes_by_name_as_it_did() -> None:
    mixed = {"20260301T000000-x": DESCRIPTION, "20260101T000000-y": replace(DESCRIPTION, sequence=1)}
    there = facts(releases={**mixed, "20260201T000000-z": DESCRIPTION})
    assert there.ordered == ("20260201T000000-z", "20260301T000000-x", "20260101T000000-y")
    assert there.next_sequence == 2
    made = ("20260101T000000-x", "20260201T000000-y", "20260301T000000-z")
    assert earlier_release(old(*made, current=made[2])) == made[1]
    assert earlier_release(old(*made, current=made[1])) == made[0]
    assert earlier_release(old(*made, current=made[0])) is None


def test_where_nothing_is_current_what_served_last_is_returned_to() -> None:
    made = (("c1", None), ("b2", "c1"), ("a3", "b2"))
    there = host(*made, current="a3")
    assert earlier_release(replace(there, current=None, confirmed="b2")) == "b2"
    assert earlier_release(replace(there, current="gone", confirmed="gone")) == "a3"
    assert earlier_release(empty_facts()) is None


def test_the_first_release_has_number_one_and_a_description_that_is_no_description_has_none() -> None:
    assert empty_facts().next_sequence == 1
    damaged = {"why": "no JSON", "outline": None, "is_damaged": True}
    strange = {"why": "sequence is no whole number", "outline": None, "is_damaged": False}
    there = facts(releases={}, unread={"20260101T000000-x": damaged, "20260201T000000-y": strange})
    assert there.next_sequence == 1


def test_a_release_of_a_newer_checkout_keeps_its_place_and_its_number() -> None:
    newer = {"why": "axion.release/2", "outline": {"sequence": 9, "build": "b9"}, "is_damaged": False}
    there = facts(releases={"20260301T000000-x": replace(DESCRIPTION, sequence=8)}, unread={"20260101T000000-y": newer})
    assert there.ordered == ("20260301T000000-x", "20260101T000000-y")
    assert there.next_sequence == 10


def test_pruning_forgets_what_was_made_first_and_not_what_has_the_earliest_name() -> None:
    made = ["20991231T000000-a", *(f"2026010{day}T000000-x" for day in range(1, 7))]
    assert stale_releases(made, keep=(made[-1],)) == ["20991231T000000-a", "20260101T000000-x"]
