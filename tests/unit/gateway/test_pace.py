"""What the last answers say to those who wait: every figure computed by hand."""

import pytest

from gateway.pace import Pace


@pytest.mark.parametrize(
    ("served_s", "waiting", "places", "retry_after_s"),
    [
        ((), 9, 4, 5),  # nobody knows
        ((10.0,), 8, 4, 20),  # 0.4 a second
        ((10.0, 20.0), 6, 2, 45),  # 15 s each, two at once
        ((1.0, 2.0), 5, 4, 2),  # 1.875, rounded up
        ((0.001,), 3, 8, 1),
        ((60.0,), 256, 4, 120),  # 3840
        ((60.0,), 0, 4, 1),
    ],
)
def test_retry_after_is_when_those_who_wait_have_been_served(
    served_s: tuple[float, ...], waiting: int, places: int, retry_after_s: int
) -> None:
    assert Pace(served_s).retry_after_s(waiting, places) == retry_after_s


def test_only_the_last_answers_count() -> None:
    pace = Pace([100.0] * 50)
    for _ in range(32):
        pace.note(2.0)
    assert pace.wait_s(3, 1) == 6.0


def test_a_request_ends_after_its_own_turn_and_the_shortest_answer_of_late() -> None:
    pace = Pace([4.0] * 7 + [12.0])  # 5 s on average
    assert pace.soonest_end_s(0, 1) == 9.0  # a place in 5 s, and 4 s
    assert pace.soonest_end_s(3, 2) == 14.0  # the fourth place of two in 10 s, and 4 s


def test_too_few_answers_say_nothing() -> None:
    assert Pace([4.0] * 7).soonest_end_s(100, 1) is None
