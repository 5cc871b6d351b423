"""The gateway's tests run on the event loop that it has on every host: uvloop, which comes with vLLM."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

Loops = Mapping[str, Callable[[], asyncio.AbstractEventLoop]]
BOTH = frozenset({"test_connection", "test_body_intake", "test_stage"})
"""How sockets are read differs; where there is no uvloop, asyncio's own loop serves."""


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Loops:
    own: Loops = {"uvloop": uvloop.new_event_loop}
    return {**own, "asyncio": asyncio.new_event_loop} if item.path.stem in BOTH else own
