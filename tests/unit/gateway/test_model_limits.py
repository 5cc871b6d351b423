"""What a model may take longer or give less of than others: its time limit, and its budget of output tokens."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.body import Turns
from gateway.output_cap import capped
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_stage import CHAT, config_json, eventually, gateway_on_stage

GENERATE = "/inference/v1/generate"


def own(directory: Path, *, general_s: float = 0.3, **model: Any) -> bytes:
    models = [{"name": "a", "socket": str(directory / "a.sock"), **model}]
    return config_json(directory, "a", models=models, timeouts={"response_s": general_s})


@pytest.mark.parametrize(("model", "status"), [({"response_s": 3.0}, 200), ({}, 504)])
async def test_an_answer_may_take_as_long_as_its_model_needs(
    tmp_path: Path, model: dict[str, Any], status: int
) -> None:
    engine = FakeEngine(name="a", first_token_delay_s=0.8)
    async with running(engine, tmp_path / "a.sock"), gateway_on_stage(own(tmp_path, **model)) as stage:
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        for stream in (False, True):
            async with stage.chat(stream=stream) as answer:
                assert answer.status == status


async def test_a_request_gets_no_more_than_its_models_budget(tmp_path: Path) -> None:
    engine, config = FakeEngine(name="a"), own(tmp_path, general_s=5, max_output_tokens=100)
    async with running(engine, tmp_path / "a.sock"), gateway_on_stage(config) as stage:
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        budgets: tuple[dict[str, Any], ...] = ({"max_tokens": 4096}, {"max_tokens": 7}, {})
        for asked in budgets:
            async with stage.chat(**asked) as answer:
                assert answer.status == 200
    bodies = [json.loads(received.body) for received in engine.received]
    assert [body.get("max_tokens", body.get("max_completion_tokens")) for body in bodies] == [100, 7, 100]


@pytest.mark.parametrize(
    ("route", "raw", "expected"),
    [
        (CHAT, b'{"max_tokens":101,"n":1e400}', b'{"max_tokens":100,"n":1e400}'),
        (CHAT, b'{"max_tokens" : 100}', b'{"max_tokens" : 100}'),
        (CHAT, b'{"max_tokens":9,"max_completion_tokens":999}', b'{"max_tokens":9,"max_completion_tokens":100}'),
        (CHAT, b'{"max_completion_tokens":null,"max_tokens":5}', b'{"max_completion_tokens":null,"max_tokens":5}'),
        (CHAT, b'{"max_completion_tokens":null}', b'{"max_completion_tokens":100}'),
        (CHAT, b'{"max_tokens":5,"max_tokens":999}', b'{"max_tokens":100,"max_tokens":100}'),
        (CHAT, b'{"max_tokens":"999"}', b'{"max_tokens":100}'),  # pydantic makes a number of it
        (CHAT, b'{"max_tokens":1e3}', b'{"max_tokens":100}'),
        (CHAT, b'{"a":{"max_tokens":999}}', b'{"max_completion_tokens": 100, "a":{"max_tokens":999}}'),
        (CHAT, b"{ }", b'{"max_completion_tokens": 100 }'),
        (CHAT, b'{"max_\\u0074okens":999}', b'{"max_\\u0074okens":100}'),
        ("/v1/completions", b'{"prompt":"x"}', b'{"prompt":"x"}'),
        ("/v1/completions", b'{"max_tokens":null}', b'{"max_tokens":100}'),
        ("/v1/messages", b'{"max_tokens":64000}', b'{"max_tokens":100}'),
        ("/v1/responses", b'{"input":"x"}', b'{"max_output_tokens": 100, "input":"x"}'),
        ("/v1/chat/completions/batch", b'{"messages":[[]],"max_tokens":999}', b'{"messages":[[]],"max_tokens":100}'),
        ("/v1/chat/completions/batch", b'{"n":1}', b'{"max_completion_tokens": 100, "n":1}'),
        (
            GENERATE,
            b'{"sampling_params":{"max_tokens":999},"n":1e400}',
            b'{"sampling_params":{"max_tokens": 100},"n":1e400}',
        ),
        (GENERATE, b'{"sampling_params":{"max_tokens":null}}', b'{"sampling_params":{"max_tokens": 100}}'),
        (GENERATE, b'{"sampling_params":{"max_tokens":7,"n":1e1}}', b'{"sampling_params":{"max_tokens":7,"n":1e1}}'),
        (GENERATE, b'{"sampling_params":{}}', b'{"sampling_params":{}}'),  # 16 in vLLM
        (GENERATE, b'{"sampling_params":[],"max_tokens":999}', b'{"sampling_params":[],"max_tokens":999}'),
        ("/tokenize", b'{"max_tokens":999}', b'{"max_tokens":999}'),
    ],
)
async def test_the_budget_changes_the_number_of_tokens_and_no_other_byte(
    route: str, raw: bytes, expected: bytes
) -> None:
    assert await capped(raw, Turns(), route, 100) == expected
    assert await capped(raw, Turns(), route, None) == raw
