"""What is told of a failure, and to whom: its kind, and no path, no prompt, no header of a client."""

import logging
from pathlib import Path

import aiohttp
import pytest

from gateway.errors import EngineLeavingError
from tests.support.fakes.engine import FAILURES, FakeEngine
from tests.unit.gateway.test_stage import CHAT, config_json, eventually, gateway_on_stage, staged

SHORT = {"response_s": 0.4, "stream_idle_s": 0.4, "hold_s": 0.2}
"""Hanging engines fail by time, and draining ones are waited for."""
SECRETS = ("sk-key", "my-prompt", "my-cookie", "my-agent", "my-query")


@pytest.mark.parametrize("failure", ["absent", *FAILURES])
async def test_no_view_and_no_log_line_tells_more_than_it_must(
    tmp_path: Path, failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "gateway")
    engine = FakeEngine(name="a", failure=failure)
    headers = {"Authorization": "Bearer sk-key", "Cookie": "my-cookie", "User-Agent": "my-agent"}
    told: list[str] = []
    async with (
        gateway_on_stage(config_json(tmp_path, "a", timeouts=SHORT))
        if failure == "absent"
        else staged(tmp_path, engine, timeouts=SHORT)
    ) as stage:
        if failure == "absent":
            upstream = stage.gateway.fleet.upstreams["a"]
            with pytest.raises(EngineLeavingError):
                await upstream.post(CHAT, b"{}", ())
            assert upstream.last_error == "NotConnectedError: No such file or directory"
        for more in ({}, {"stream": True}, {"model": None}, {"temperature": 9}):
            body = {"model": "a", "messages": [{"role": "user", "content": "my-prompt"}], **more}
            async with stage.session.post(CHAT + "?my-query", json=body, headers=headers) as answer:
                try:
                    told.append(await answer.text())
                except aiohttp.ClientError:  # it broke off
                    continue
        for raw in (b'{"my-prompt', b'["my-prompt"]', b'{"model":"a","x":"my-prompt"}}'):
            async with stage.session.post(
                CHAT, data=raw, headers={**headers, "Content-Type": "application/json"}
            ) as answer:
                told.append(await answer.text())
        for path in ("/stats", "/metrics", "/health", "/v1/models", "/my-query"):
            async with stage.session.get(path, headers=headers) as answer:
                told.append(await answer.text())
        await eventually(lambda: len(stage.gateway.requests) == 0)
    text = "\n".join((*told, *(record.getMessage() for record in caplog.records if record.name == "gateway")))
    assert not [secret for secret in SECRETS if secret in text]
    assert str(tmp_path) not in text
