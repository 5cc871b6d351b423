"""A hub that cannot be reached, in every way that a network has: said soon, bounded, and no more than is needed."""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agent.files import PullError, UnreachableError
from agent.hub import Hub
from agent.patience import Patience
from agent.protocol import PullOrder, PullSource, WantedFile, WantedModel
from build.checkpoints.pull import HUB_SETTINGS
from deployment.checkpoint.lock import lock_path
from tests.support.agent import agent_file, run_agent
from tests.support.fakes.hub import FakeHub
from tests.support.pulls import COMMIT, FILES, WANTED, contents, final, pull, served

ADVICE = "Let this host reach it, name a mirror (HF_ENDPOINT), or bring the files by hand (--source)."


@contextmanager
def listener(answer: Callable[[socket.socket], Any]) -> Iterator[str]:
    """Something that takes connections and is no hub."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    kept.append(connection)
                    answer(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        for connection in kept:
            connection.close()


@contextmanager
def refusing() -> Iterator[str]:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}"


@contextmanager
def nameless() -> Iterator[str]:
    yield "http://no-such-hub.invalid"


@contextmanager
def silent() -> Iterator[str]:
    with listener(lambda _connection: None) as address:
        yield f"http://{address}"


@contextmanager
def stalling() -> Iterator[str]:
    """TLS is begun and never answered."""
    with listener(lambda _connection: None) as address:
        yield f"https://{address}"


@contextmanager
def hanging_up() -> Iterator[str]:
    with listener(lambda connection: connection.close()) as address:
        yield f"http://{address}"


@contextmanager
def blackhole() -> Iterator[str]:
    """A queue of connections that is full: the next one is never answered."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        fill = [socket.socket() for _ in range(4)]
        for each in fill:
            each.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                each.connect(address)
        time.sleep(0.1)
        yield f"http://127.0.0.1:{address[1]}"
        for each in fill:
            each.close()


WAYS: dict[str, tuple[Any, str]] = {
    "refusing": (refusing, "[Errno 111] Connection refused"),
    "nameless": (nameless, "[Errno -"),
    "hanging up": (hanging_up, ""),
    "silent": (silent, "silence"),
    "stalling": (stalling, "no connection"),
    "blackhole": (blackhole, "no connection"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_hub_that_cannot_be_reached_is_given_up_on_and_why_is_told(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, got = WAYS[way]
    monkeypatch.setattr("agent.hub.ASK_TIMEOUT", httpx2.Timeout(0.4, connect=0.4))
    said: list[str] = []
    with kind() as endpoint:
        patience = Patience(endpoint, said.append, no_s=1.0, silence_s=1.5)
        asked = Hub(endpoint, None, pause_s=0.05, tell=said.append, patience=patience)
        began = time.monotonic()
        with pytest.raises(UnreachableError) as caught:
            asked.listing("org/tiny", COMMIT)
        assert time.monotonic() - began < 4
        began = time.monotonic()
        with pytest.raises(UnreachableError) as again:
            asked.listing("org/other", COMMIT)
        assert time.monotonic() - began < 0.1, "it is asked for no other model"
    assert again.value.problems == caught.value.problems
    (problem,) = caught.value.problems
    assert problem.startswith(f"models: cannot reach {endpoint} for ")
    assert f" s: {got}" in problem
    assert problem.endswith(f". {ADVICE}")
    assert said[0] == f"asking {endpoint}"
    assert said[1].startswith(f"{endpoint} does not answer: {got}")


def test_the_bounds_are_those_that_are_stated() -> None:
    from agent import patience  # noqa: PLC0415

    now = [0.0]
    waiting = patience.Patience("http://hub", lambda _said: None, clock=lambda: now[0])
    waiting.begin()
    for now[0] in (0.0, 14.9):
        waiting.failed("no", is_silent=False)
    now[0] = 15.0
    with pytest.raises(UnreachableError, match=r"for 15 s: no\."):
        waiting.failed("no", is_silent=False)
    silence = patience.Patience("http://hub", lambda _said: None, clock=lambda: now[0])
    silence.begin()
    now[0] = 74.9
    silence.failed("silence", is_silent=True)
    now[0] = 75.0
    with pytest.raises(UnreachableError, match=r"for 60 s: silence\."):
        silence.failed("silence", is_silent=True)


def test_a_hub_that_answered_once_is_asked_on(hub: FakeHub, tmp_path: Path) -> None:
    slept: list[float] = []
    patience = Patience(hub.url, lambda _said: None, no_s=0.0, silence_s=0.0)
    asked = Hub(hub.url, None, sleep=slept.append, patience=patience)
    listed = asked.listing("org/tiny", COMMIT)[1]
    hub.cdn_url = "http://127.0.0.1:1"
    with pytest.raises(PullError, match=r" in 8 tries: .*Connection refused\.") as caught:
        asked.fetch(
            "org/tiny", COMMIT, next(each for each in listed if each.size > 1000), tmp_path / "p", lambda _: None
        )
    assert not isinstance(caught.value, UnreachableError)
    assert len(slept) == 7


def test_what_the_store_has_whole_needs_no_hub(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pull(tmp_path)
    lock = lock_path(tmp_path / "models.yaml").read_text()
    final(tmp_path).rename(tmp_path / "away")
    files = {path: WantedFile(**each) for path, each in json.loads(lock)["models"]["alpha"]["files"].items()}
    alpha, beta = WantedModel("org/tiny", COMMIT, files), WantedModel("org/other", COMMIT, {})
    source = PullSource(kind="hub", place="http://127.0.0.1:1", pause_s=0.01)
    order = PullOrder(str(tmp_path / "root"), source, {"alpha": alpha, "beta": beta}, is_thorough=True)
    file = agent_file(tmp_path, {"patience.py": ("NO_S, SILENCE_S = 15.0, 60.0", "NO_S, SILENCE_S = 0.5, 0.5")})
    done = run_agent(file, "pull", order.to_json(), env={**os.environ, **HUB_SETTINGS})
    told = json.loads(done.stdout.splitlines()[-1])
    assert [each.partition(" for ")[0] for each in told["problems"]] == ["models: cannot reach http://127.0.0.1:1"]
    assert done.returncode == 1
    alone = replace(order, models={"alpha": alpha})
    done = run_agent(file, "pull", alone.to_json(), env={**os.environ, **HUB_SETTINGS})
    assert (done.returncode, json.loads(done.stdout.splitlines()[-1])["problems"]) == (0, [])
    assert contents(final(tmp_path)) == {path: FILES[path] for path in WANTED}


def test_what_is_there_is_verified_without_the_hub(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pull(tmp_path)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    pull(tmp_path, served("org/tiny", COMMIT), is_thorough=True)
    assert "alpha: there, and whole" in capfd.readouterr().err
