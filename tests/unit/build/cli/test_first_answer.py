"""The demonstration's questions: when their answers count, and that any engine that sees nothing is told."""

import asyncio
from contextlib import AbstractContextManager, nullcontext

import pytest
from aiohttp import web

from build.cli import first_answer
from build.cli.first_answer import ask, png, show_pictures
from build.errors import DeployError
from build.progress import Reporter
from tests.support.fakes.engine import FakeEngine
from tests.support.web import free_port

UNREADABLE = pytest.raises(DeployError, match=r"^smollm2: an answer that nobody can read, got '.*'\. Run `fab verify`")


@pytest.mark.parametrize(("token", "outcome"), [("Paris ", nullcontext()), ("", UNREADABLE), ("\n", UNREADABLE)])
async def test_a_first_answer_has_to_be_readable(token: str, outcome: AbstractContextManager[object]) -> None:
    runner, port = web.AppRunner(FakeEngine(name="smollm2", token=token).app()), free_port()
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        with outcome:
            await asyncio.to_thread(ask, Reporter(), f"http://127.0.0.1:{port}/v1", "Where is the Eiffel tower?")
    finally:
        await runner.cleanup()


def test_a_square_of_one_colour_is_this_png() -> None:
    """Header and end of a 2x2 RGB image as the specification has them, checksums included."""
    head = "89504e470d0a1a0a 0000000d 49484452 00000002 00000002 0802000000 fdd49a73"
    assert png((255, 255, 255), side=2).startswith(bytes.fromhex(head))
    assert png((255, 255, 255), side=2).endswith(bytes.fromhex("00000000 49454e44 ae426082"))


def test_two_pictures_with_one_answer_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_answer, "ask_about", lambda *_, **__: " rivers")
    with pytest.raises(DeployError, match=r"^tiny_gemma3: two pictures, one answer, got ' rivers'\. Read `fab logs"):
        show_pictures(Reporter(), "http://127.0.0.1:1/v1")


def test_a_picture_that_is_answered_with_nothing_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {png((255, 0, 0)): " rivers", png((255, 255, 255)): ""}
    monkeypatch.setattr(first_answer, "ask_about", lambda _url, picture, **_: said[picture])
    with pytest.raises(DeployError, match=r"^tiny_gemma3: an answer that nobody can read, got ''\. Run `fab verify`"):
        show_pictures(Reporter(), "http://127.0.0.1:1/v1")


def test_both_answers_are_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = {png((255, 0, 0)): " rivers", png((255, 255, 255)): " lazy dog"}
    monkeypatch.setattr(first_answer, "ask_about", lambda _url, picture, **_: said[picture])
    show_pictures(Reporter(), "http://127.0.0.1:1/v1")
    assert capsys.readouterr().err.splitlines()[-2:] == ["A red one: rivers", "A white one: lazy dog"]


def test_no_answer_is_a_failure_that_names_the_address() -> None:
    with pytest.raises(DeployError, match=r"^http://127\.0\.0\.1:1/v1: no answer to a picture: Connection error"):
        show_pictures(Reporter(), "http://127.0.0.1:1/v1")
