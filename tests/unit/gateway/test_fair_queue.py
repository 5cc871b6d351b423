"""Whose turn it is among those who wait: literal orders, and a comparison with a slow, plain description."""

import random
from dataclasses import dataclass

from gateway.fair_queue import FairQueue


@dataclass(eq=False)
class One:
    caller: str
    number: int

    def __repr__(self) -> str:
        return f"{self.caller}{self.number}"


def queue_of(*waiters: One) -> FairQueue[One]:
    queue: FairQueue[One] = FairQueue()
    for waiter in waiters:
        queue.add(waiter)
    return queue


def emptied(queue: FairQueue[One]) -> list[str]:
    return [repr(queue.next()) for _ in range(len(queue))]


def test_callers_have_their_turns_one_after_another_and_each_keeps_its_order() -> None:
    asked = [One("a", 1), One("a", 2), One("a", 3), One("b", 4), One("c", 5), One("b", 6)]
    assert emptied(queue_of(*asked)) == ["a1", "b4", "c5", "a2", "b6", "a3"]


def test_without_names_the_first_come_is_the_first_served() -> None:
    assert emptied(queue_of(*(One("", number) for number in range(5)))) == ["0", "1", "2", "3", "4"]


def test_who_comes_back_has_his_old_place_among_his_own() -> None:
    assert emptied(queue_of(One("a", 2), One("a", 3), One("a", 1))) == ["a1", "a2", "a3"]


def test_of_too_many_the_newest_of_whoever_has_most_is_refused() -> None:
    greedy = [One("a", number) for number in range(1, 4)]
    assert repr(queue_of(*greedy, One("b", 4)).newest_of_most("b")) == "a3"
    assert repr(queue_of(One("a", 1), One("b", 2)).newest_of_most("b")) == "b2"
    assert repr(queue_of(One("a", 1), One("b", 2)).newest_of_most("a")) == "a1"


def test_a_new_request_goes_before_a_greedy_callers_later_ones() -> None:
    queue = queue_of(*(One("a", number) for number in range(10)))
    assert (queue.ahead_of_new("a"), queue.ahead_of_new("b")) == (10, 1)
    queue.add(One("b", 10))
    assert (queue.ahead_of_new("b"), queue.ahead_of_new("c")) == (3, 2)  # b's first and two of a; one of each


def test_nobody_is_lost_doubled_or_overtaken_by_his_own_in_any_order_of_events() -> None:
    """Against one plain list, from which the oldest of the caller who was served longest ago is taken."""
    chance = random.Random(7)  # noqa: S311 - the same order each time
    queue, plain, turns, number = FairQueue[One](), list[One](), dict[str, int](), 0
    for turn in range(5000):
        what = chance.random()
        if what < 0.5:
            number += 1
            one = One(chance.choice("abcd"), number)
            if one.caller not in {each.caller for each in plain}:
                turns[one.caller] = turn  # a caller who had nothing here goes to the end
            queue.add(one)
            plain.append(one)
        elif plain and what < 0.85:
            caller = min({each.caller for each in plain}, key=lambda each: turns[each])
            expected = next(each for each in plain if each.caller == caller)
            plain.remove(expected)
            turns[caller] = turn
            assert queue.next() is expected
        elif plain:
            leaving = chance.choice(plain)
            plain.remove(leaving)
            queue.discard(leaving)
            queue.discard(leaving)
        assert len(queue) == len(plain) == len(list(queue))
