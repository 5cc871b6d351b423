"""An engine in every kind of disorder: torn, cut and damaged answers, words that nobody asked for, early ends."""

import asyncio
import gc
import random
import re
from pathlib import Path

import pytest

from gateway.engine_connections import EngineConnection
from gateway.http_answer import BrokenAnswerError
from tests.support.fakes.raw_engine import STREAM, chunk
from tests.unit.gateway.test_engine_connections import asked, engine_of, plain


class Chaos:
    """An engine that answers each request with its own number, in order or in one of many kinds of disorder."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - reproducible is what it must be

    async def serve(self, body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        chance = self.chance
        raw = self.answer(body * chance.choice([1, 1, 20]))
        fault = chance.choice(["", "", "", "", "cut", "byte", "behind", "half", "abort", "close"])
        if fault == "cut":
            raw = raw[: chance.randrange(len(raw))]
        elif fault == "byte":
            at = chance.randrange(raw.index(b"\r\n\r\n"))
            raw = raw[:at] + chance.choice([b"\r\n", b"\n", b":", b"5", b"\0"]) + raw[at:]
        while raw:
            size = chance.choice([1, 3, 40, len(raw)])
            if fault == "behind" and size >= len(raw):  # together: what comes later may find the next request there
                raw += plain(b"forged")
                size = len(raw)
            writer.write(raw[:size])
            raw = raw[size:]
            await asyncio.sleep(0)
        if fault == "half":
            writer.write_eof()
        elif fault == "abort":
            writer.transport.abort()
        if fault in ("cut", "byte", "close"):
            writer.close()

    def answer(self, body: bytes) -> bytes:
        if self.chance.random() < 0.5:
            return plain(body)
        at = self.chance.randrange(1, len(body))
        return STREAM + chunk(body[:at]) + chunk(body[at:]) + b"0\r\n\r\n"


@pytest.mark.parametrize("seed", range(3))
async def test_no_disorder_gives_anybody_an_answer_that_is_not_his(tmp_path: Path, seed: int) -> None:
    chaos = Chaos(seed)
    whole = broken = left = 0

    async def one(number: int) -> None:
        nonlocal whole, broken, left
        own = b"<%06d>" % number
        try:
            async with asyncio.timeout(5 if number % 7 else 0.001):
                answer = await asked(connections, own)
                try:
                    found = await answer.whole(10_000)
                finally:
                    answer.close()
        except BrokenAnswerError:
            broken += 1
        except TimeoutError:
            assert number % 7 == 0, "it hangs"
            left += 1
        else:
            assert {*re.findall(rb"<\d{6}>|forged", found)} <= {own}, found
            whole += found.replace(own, b"") == b"" != found

    async with engine_of(tmp_path, chaos.serve) as (engine, connections):
        for start in range(0, 1500, 10):
            await asyncio.gather(*(one(number) for number in range(start, start + 10)))
        assert whole + broken + left <= 1500
        assert whole > 700
        assert broken > 100
        assert engine.opened < 1300, "connections are kept where that is safe"
    gc.collect()
    assert not [each for each in gc.get_objects() if isinstance(each, EngineConnection) and each.is_open]
