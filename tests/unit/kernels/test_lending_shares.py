"""Which cores an engine may use now, decided from what the table says."""

import pytest
from axion_kernels.lending_shares import Engine, Kind, borrowed, cores_of

NOW = 100_000_000_000
MS = 1_000_000
EVERY = range(4, 32)
HOMES = {
    "gemma": tuple(range(4, 18)),
    "mistral": tuple(range(18, 24)),
    "phi": (24, 25, 26),
    "qwen": tuple(range(27, 32)),
}


def engine(name: str, kind: Kind = "resting", age_ms: int = 1000, *, is_alive: bool = True) -> Engine:
    return Engine(name, HOMES[name], kind, NOW - age_ms * MS, is_alive)


def of(me: str, *others: Engine) -> tuple[int, ...]:
    return borrowed(engine(me, "stepping", 0), others, EVERY, NOW)


def test_who_works_alone_has_every_core() -> None:
    assert of("phi", engine("gemma"), engine("mistral"), engine("qwen")) == (*range(4, 24), *range(27, 32))


def test_where_all_work_nobody_borrows() -> None:
    others = [engine(name, "stepping", 5) for name in ("gemma", "mistral", "qwen")]
    assert of("phi", *others) == ()


def test_two_that_work_share_what_the_others_leave_idle_without_overlap() -> None:
    """27 to 31 and 4 to 17 are idle: nine or ten each, and by name the first run is mistral's."""
    gemma, qwen = engine("gemma"), engine("qwen")
    mistral = of("mistral", gemma, qwen, engine("phi", "stepping", 5))
    phi = of("phi", gemma, qwen, engine("mistral", "stepping", 5))
    assert mistral == (4, 5, 6, 7, 8, 9, 10, 11, 12)
    assert phi == (13, 14, 15, 16, 17, 27, 28, 29, 30, 31)


@pytest.mark.parametrize(
    ("kind", "age_ms", "is_alive", "is_lent"),
    [
        ("resting", 49, True, False),  # between two tokens of an answer
        ("resting", 50, True, True),
        ("stepping", 59_999, True, False),
        ("stepping", 60_000, True, True),  # stopped, in the middle of a step
        ("loading", 900_000, True, False),
        ("loading", 1, False, True),
        ("stepping", 1, False, True),  # killed, in the middle of a step
        ("resting", 1, False, True),
    ],
)
def test_an_engine_keeps_its_cores_while_it_works(kind: Kind, age_ms: int, is_alive: bool, is_lent: bool) -> None:
    other = engine("mistral", kind, age_ms, is_alive=is_alive)
    others = [engine(name, "stepping", 5) for name in ("gemma", "qwen")]
    # Idle are mistral's six, or none; of three that work phi is the second by name.
    assert of("phi", other, *others) == ((20, 21) if is_lent else ())


def test_one_that_loads_has_its_own_cores_and_no_share() -> None:
    """So phi and qwen divide gemma's 14; mistral has its six."""
    others = [engine("gemma"), engine("mistral", "loading", 90_000), engine("qwen", "stepping", 5)]
    assert of("phi", *others) == tuple(range(4, 11))


def test_cores_that_no_engine_is_at_home_on_are_lent_too() -> None:
    """18 to 23 and 27 to 31, of which the second of two has the last six."""
    assert of("phi", engine("gemma", "stepping", 5)) == (23, 27, 28, 29, 30, 31)


@pytest.mark.parametrize(
    ("age_ms", "kind", "is_alive", "may"),
    [(1000, "resting", True, True), (1000, "stepping", True, False), (1, "loading", True, False),
     (1000, "resting", False, False)],
)  # fmt: skip
def test_only_one_that_rests_may_begin_to_step(age_ms: int, kind: Kind, is_alive: bool, may: bool) -> None:
    assert engine("qwen", kind, age_ms, is_alive=is_alive).may_step is may


def test_cores_are_read_as_the_kernel_writes_them() -> None:
    assert cores_of("4-7,9,11-12") == (4, 5, 6, 7, 9, 11, 12)
    assert cores_of("0") == (0,)
