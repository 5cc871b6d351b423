"""Two engines of real vLLM that lend each other their one core, against one that never does."""

import os
import signal
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from axion_kernels.lending_table import Card, Others

from kernels.bench.lending_serving import Server
from tests.support.share import eventually

pytestmark = pytest.mark.kernels

CHECKPOINTS = Path(__file__).parents[2] / "support" / "kernels" / "checkpoints.py"
OPTIONS = {"dtype": "bfloat16", "enforce_eager": True, "skip_tokenizer_init": True}
PROMPTS = [[*range(3, 12)], [*range(40, 90)]]
SHORT: dict[str, Any] = {"prompts": PROMPTS, "tokens": 16}
LONG: dict[str, Any] = {"prompts": PROMPTS, "tokens": 300}
BOUND_S = 1800


class Engines:
    """One under `disjoint`, two under `elastic`."""

    def __init__(self, python: str, site: Path, folder: Path) -> None:
        subprocess.run([python, "-P", str(CHECKPOINTS), str(folder)], capture_output=True, timeout=BOUND_S, check=True)
        model = str(folder / "qwen2")
        more: dict[str, Any] = {"python": python, "PYTHONPATH": str(site), "AXION_KERNELS": "none"}
        self.table = folder / "table"
        self.disjoint = Server(folder, model, OPTIONS, cores="0", is_lent=False, **more)
        self.lent = partial(Server, folder, model, OPTIONS, is_lent=True, **more)
        self.first, self.second = (self.lent(cores=core) for core in "01")
        for server in (self.disjoint, self.first, self.second):
            server.answer()

    def card(self, server: Server) -> Card:
        (found,) = [card for card in Others(self.table, "the test") if card.name == server.name]
        return found

    def cores_in_use(self, server: Server) -> int:
        return self.card(server).words[2]

    def end(self) -> None:
        for server in (self.disjoint, self.first, self.second):
            if server.process.poll() is None:
                os.killpg(server.process.pid, signal.SIGKILL)
            server.process.communicate()


@pytest.fixture(scope="module")
def engines(engine_python: str, kernels_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    started = Engines(engine_python, kernels_site, tmp_path_factory.mktemp("engines"))
    yield started
    started.end()


@pytest.fixture(scope="module")
def expected(engines: Engines) -> dict[int, Any]:
    """What `disjoint` answers."""
    answers = {}
    for work in (SHORT, LONG):
        engines.disjoint.ask(work)
        answers[work["tokens"]] = engines.disjoint.answer()["tokens"]
    return answers


def borrow(engines: Engines) -> None:
    """Have the first work for a while, on the second's core too."""
    engines.first.ask(LONG)
    eventually(lambda: engines.card(engines.first).guests(), "the first has borrowed", 120)


def kill(server: Server) -> None:
    os.killpg(server.process.pid, signal.SIGKILL)
    server.process.communicate()


def told(server: Server, work: Any) -> Any:
    server.ask(work)
    return server.answer()["tokens"]


def test_alone_it_has_both_cores_and_the_same_tokens(engines: Engines, expected: dict[int, Any]) -> None:
    assert told(engines.first, SHORT) == expected[16]
    assert engines.cores_in_use(engines.first) == 2
    assert told(engines.second, SHORT) == expected[16]
    assert engines.cores_in_use(engines.second) == 2


def test_tokens_are_the_same_while_cores_change_hands(engines: Engines, expected: dict[int, Any]) -> None:
    engines.first.ask(LONG)
    for _ in range(5):
        assert told(engines.second, SHORT) == expected[16]
    assert engines.first.answer()["tokens"] == expected[300]


def test_the_other_serves_on_while_a_borrower_is_stopped(engines: Engines, expected: dict[int, Any]) -> None:
    borrow(engines)
    os.killpg(engines.first.process.pid, signal.SIGSTOP)
    try:
        assert told(engines.second, SHORT) == expected[16]
        assert engines.cores_in_use(engines.second) == 1  # the stopped one may go on with its step at any moment
        assert engines.card(engines.first).guests() == []
    finally:
        os.killpg(engines.first.process.pid, signal.SIGCONT)
    assert engines.first.answer()["tokens"] == expected[300]


def test_the_other_serves_on_while_a_lender_is_stopped(engines: Engines, expected: dict[int, Any]) -> None:
    borrow(engines)
    os.killpg(engines.second.process.pid, signal.SIGSTOP)
    try:
        assert engines.first.answer()["tokens"] == expected[300]
        assert engines.cores_in_use(engines.first) == 2  # its owner has no work
    finally:
        os.killpg(engines.second.process.pid, signal.SIGCONT)
    assert told(engines.second, SHORT) == expected[16]


def test_the_other_serves_on_when_a_lender_is_killed_which_has_its_core_when_it_is_back(
    engines: Engines, expected: dict[int, Any]
) -> None:
    borrow(engines)
    kill(engines.second)
    assert engines.first.answer()["tokens"] == expected[300]
    engines.second = engines.lent(cores="1")
    engines.second.answer()
    borrow(engines)
    assert told(engines.second, SHORT) == expected[16]
    assert engines.first.answer()["tokens"] == expected[300]


def test_the_other_serves_on_when_a_borrower_is_killed_and_has_its_core(
    engines: Engines, expected: dict[int, Any]
) -> None:
    borrow(engines)
    kill(engines.first)
    assert told(engines.second, LONG) == expected[300]
    assert engines.cores_in_use(engines.second) == 2
