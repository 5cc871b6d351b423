"""A worker's steps: what it takes, gives back and sends home, with a recorder in the place of the threads."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from axion_kernels.lending import CoresCollector, Lender, Setting
from axion_kernels.lending_table import STATE, Card, state_word
from prometheus_client import CollectorRegistry, generate_latest

CORES = (
    '{"table": "/dev/shm/axion-cores-opt-axion", "name": "phi4_fast", "home": "4-6", "compute": "5-6", "all": "4-31"}'
)
GUEST = 32  # the first word of the list of guests


class Recorder:
    """Enters guests as the library's threads would."""

    def __init__(self) -> None:
        self.used: list[tuple[tuple[int, ...], int, list[str | None]]] = []
        self.announced: list[int] = []

    def announce(self, card: Card, state: int) -> None:
        card.words[STATE] = state
        self.announced.append(state & 3)

    def use(self, card: Card, cores: tuple[int, ...], own: int, owners: list[Card | None]) -> None:
        self.used.append((cores, own, [None if owner is None else owner.name for owner in owners]))
        for index, core in enumerate(cores[own:]):
            card.words[GUEST + index] = (1000 + index) << 32 | core


def setting(table: Path, name: str, home: tuple[int, ...], every: tuple[int, ...] = (0, 1, 2, 3)) -> Setting:
    return Setting(table, name, home, home[1:] or home, every)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table"


@pytest.fixture
def alpha(table: Path) -> Iterator[tuple[Lender, Recorder]]:
    recorder = Recorder()
    yield Lender(setting(table, "alpha", (0, 1)), recorder), recorder


def neighbour(table: Path, kind: str, since_ns: int = 0) -> Card:
    """Of this same process, whose locks it does not see: it counts as dead unless a test says otherwise."""
    card = Card.claim(table, "beta", (2, 3))
    card.words[STATE] = state_word(kind, since_ns)  # type: ignore[arg-type] # a literal of the caller
    return card


@pytest.fixture
def living(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Card, "is_alive", True)


def test_the_environment_says_who_lends_what() -> None:
    assert Setting.of(CORES) == Setting(
        Path("/dev/shm/axion-cores-opt-axion"), "phi4_fast", (4, 5, 6), (5, 6), tuple(range(4, 32))
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("4-31", "JSONDecodeError"),
        ("[]", "TypeError"),
        (CORES.replace('"home"', '"house"'), "KeyError('home')"),
        (CORES.replace("5-6", "5-x"), "ValueError"),
    ],
)
def test_a_setting_that_cannot_be_read_ends_the_engine(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=r"^AXION_CORES: cannot be read: ") as refusal:
        Setting.of(text)
    assert why in str(refusal.value)
    assert str(refusal.value).endswith(f", got {text}. Deploy the release again.")


def test_loading_is_done_at_home(alpha: tuple[Lender, Recorder]) -> None:
    """One of its two cores schedules."""
    assert alpha[1].used == [((1,), 1, [])]
    assert alpha[0]._card.words[2] == 1


@pytest.mark.usefixtures("living")
def test_a_pass_through_the_model_runs_on_idle_cores_too(alpha: tuple[Lender, Recorder], table: Path) -> None:
    neighbour(table, "resting")
    lender, recorder = alpha
    lender.begin(is_forward=True)
    lender.end()
    assert recorder.used[1:] == [((1, 2, 3), 1, ["beta", "beta"])]
    assert recorder.announced == [1, 2]
    lender.begin(is_forward=True)
    assert len(recorder.used) == 2  # nothing changed


@pytest.mark.usefixtures("living")
def test_the_number_of_cores_changes_only_before_a_pass(alpha: tuple[Lender, Recorder], table: Path) -> None:
    """Sampling and whatever else is asked of a worker happens with the threads that there are."""
    neighbour(table, "resting")
    lender, recorder = alpha
    lender.begin(is_forward=False)
    assert len(recorder.used) == 1


@pytest.mark.usefixtures("living")
def test_a_borrower_leaves_at_its_next_step(alpha: tuple[Lender, Recorder], table: Path) -> None:
    beta = neighbour(table, "resting")
    lender, recorder = alpha
    lender.begin(is_forward=True)
    beta.words[STATE] = state_word("loading", 1)
    lender.begin(is_forward=True)
    assert recorder.used[-1] == ((1,), 1, [])


@pytest.mark.usefixtures("living")
def test_guests_that_were_sent_home_come_back_when_the_owner_rests(alpha: tuple[Lender, Recorder], table: Path) -> None:
    neighbour(table, "resting")
    lender, recorder = alpha
    lender.begin(is_forward=True)
    lender._card.strike_out(1001, 3)  # by beta, which stepped
    lender.begin(is_forward=True)
    assert [cores for cores, _, _ in recorder.used] == [(1,), (1, 2, 3), (1, 2, 3)]


def test_of_the_dead_cores_are_used_and_their_last_word_is_not_asked(
    alpha: tuple[Lender, Recorder], table: Path
) -> None:
    """Its card says for ever that it steps."""
    neighbour(table, "stepping")
    lender, recorder = alpha
    lender.begin(is_forward=True)
    assert recorder.used[-1] == ((1, 2, 3), 1, [None, None])


def test_beside_a_card_that_cannot_be_read_nothing_is_borrowed(alpha: tuple[Lender, Recorder], table: Path) -> None:
    (table / "beta.cores").write_bytes(b"axcores2")
    lender, recorder = alpha
    lender.begin(is_forward=True)
    assert recorder.used == [((1,), 1, [])]


def test_who_steps_sends_home_those_that_sit_on_its_cores_and_no_others(
    alpha: tuple[Lender, Recorder], table: Path
) -> None:
    beta = Card.claim(table, "beta", (0,))
    sleepers = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    here, elsewhere = sleepers
    try:
        for sleeper in sleepers:
            os.sched_setaffinity(sleeper.pid, {max(os.sched_getaffinity(0))})
        beta.words[GUEST], beta.words[GUEST + 1] = here.pid << 32 | 1, elsewhere.pid << 32 | 3
        beta.words[GUEST + 2] = 2**22 + 1 << 32 | 0  # a thread that has ended
        alpha[0].begin(is_forward=False)
        assert os.sched_getaffinity(here.pid) == {0}
        assert os.sched_getaffinity(elsewhere.pid) == {max(os.sched_getaffinity(0))}
        assert beta.guests() == [(elsewhere.pid, 3)]
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()


def test_the_cores_in_use_are_on_the_engines_metrics(table: Path) -> None:
    registry = CollectorRegistry()
    registry.register(CoresCollector(setting(table, "alpha", (0, 1))))
    assert generate_latest(registry) == b""  # it is loading its first modules
    Lender(setting(table, "alpha", (0, 1)), Recorder()).begin(is_forward=True)
    lines = generate_latest(registry).decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == ["axion_cores_in_use 3.0", "axion_cores_home 2.0"]
