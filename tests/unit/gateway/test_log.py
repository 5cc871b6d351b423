"""How lines get out: those of one turn of the event loop at once, in their order, and none later than that."""

import asyncio
import io
import logging

import pytest

from gateway.events import Lines, TurnHandler


class Counting(io.StringIO):
    """Counts what a file would be asked to write."""

    writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        return super().write(text)


@pytest.fixture
def logged() -> tuple[logging.Logger, Counting]:
    logger, out = logging.Logger("test"), Counting()
    handler = TurnHandler(out)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.addHandler(handler)
    return logger, out


async def test_lines_of_one_turn_are_written_at_once(logged: tuple[logging.Logger, Counting]) -> None:
    logger, out = logged
    logger.info("one")
    logger.info("two")
    assert out.getvalue() == ""
    await asyncio.sleep(0)
    assert (out.getvalue(), out.writes) == ("one\ntwo\n", 1)
    logger.info("three")
    await asyncio.sleep(0)
    assert (out.getvalue(), out.writes) == ("one\ntwo\nthree\n", 2)


async def test_an_error_waits_for_nothing_and_passes_nothing(logged: tuple[logging.Logger, Counting]) -> None:
    logger, out = logged
    logger.info("one")
    logger.error("two")
    assert out.getvalue() == "one\ntwo\n"
    await asyncio.sleep(0)
    assert out.writes == 1


async def test_a_thread_without_a_loop_waits_for_nothing(logged: tuple[logging.Logger, Counting]) -> None:
    logger, out = logged
    await asyncio.to_thread(logger.info, "one")
    assert out.getvalue() == "one\n"
    logger.info("two")
    await asyncio.to_thread(logger.info, "three")
    await asyncio.sleep(0)
    assert out.getvalue() == "one\ntwo\nthree\n"


def test_what_is_held_back_at_the_end_is_written_by_logging_itself(logged: tuple[logging.Logger, Counting]) -> None:
    logger, out = logged

    async def log_last() -> None:
        logger.info("last")

    loop = asyncio.new_event_loop()
    loop.run_until_complete(log_last())
    loop.close()
    logging.shutdown([lambda: logger.handlers[0]])
    assert out.getvalue() == "last\n"


def test_the_time_of_a_line_is_its_own() -> None:
    lines = Lines()
    records = [logging.LogRecord("gateway", logging.INFO, "", 0, "event=x", None, None) for _ in range(3)]
    for record, created in zip(records, (86_400.0, 86_400.5, 86_401.0), strict=True):
        record.created, record.msecs = created, created % 1 * 1000
    times = [lines.format(record).split(" ")[0][-6:] for record in records]
    assert times == ["00.000", "00.500", "01.000"]
