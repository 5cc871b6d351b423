"""Two real engines behind the gateway, deployed as the demonstration is: what clients get from them."""

import itertools
import re
import socket
import statistics
import time
from typing import Any

import httpx
import openai
import pytest

from build.cli.first_answer import ask_about, png
from tests.support.live_deployment import REAL, TINY, LiveDeployment
from tests.support.share import eventually
from tests.unit.gateway.test_sse import strict_events

pytestmark = pytest.mark.engine

CHAT = "/v1/chat/completions"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ASK = {"model": REAL, "messages": QUESTION, "temperature": 0, "max_tokens": 24}
LONG = {"model": REAL, "prompt": "Once upon a time", "max_tokens": 900, "ignore_eos": True}
"""Half a minute of work and more, if nobody stops it."""


@pytest.mark.parametrize("name", ["smollm2", "fast_response", "default"])
def test_every_name_of_a_model_answers_with_knowledge(live: LiveDeployment, name: str) -> None:
    with live.openai() as client:
        answer = client.chat.completions.create(model=name, messages=QUESTION, temperature=0, max_tokens=24)  # type: ignore[arg-type] # a literal
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.model == "smollm2"


def test_both_models_are_listed_with_what_their_engines_say(live: LiveDeployment) -> None:
    with live.openai() as client:
        cards = {card.id: card.model_extra or {} for card in client.models.list()}
    assert list(cards) == ["smollm2", "tiny_gemma3"]
    assert {card["max_model_len"] for card in cards.values()} == {1024}
    assert {card["status"] for card in cards.values()} == {"loaded"}


def test_tools_are_refused_by_an_engine_without_a_parser(live: LiveDeployment) -> None:
    """What a family's default spares clients: vLLM has no parser for what Gemma 3 says."""
    tool: Any = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    with live.openai() as client, pytest.raises(openai.BadRequestError, match="enable-auto-tool-choice"):
        client.chat.completions.create(model=TINY, messages=QUESTION, tools=[tool], max_tokens=1)  # type: ignore[arg-type] # a literal


def test_logprobs_are_answered_where_there_is_no_compiler(live: LiveDeployment) -> None:
    asked = {"model": REAL, "prompt": "The capital of France is", "max_tokens": 2, "temperature": 0, "logprobs": 3}
    ranked = live.post("/v1/completions", **asked).json()["choices"][0]["logprobs"]
    assert [len(token) for token in ranked["top_logprobs"]] == [3, 3]
    assert ranked["tokens"][0] == max(ranked["top_logprobs"][0], key=ranked["top_logprobs"][0].get) == " Paris"


def test_a_picture_is_seen_through_the_gateway(live: LiveDeployment) -> None:
    red, white, again = (
        ask_about(f"{live.url}/v1", png(pixel), model=TINY) for pixel in ((255, 0, 0), (255, 255, 255), (255, 0, 0))
    )
    assert red.isprintable()
    assert red != white
    assert red == again


def test_a_stream_says_the_same_as_a_whole_answer_and_ends_with_usage_and_done(live: LiveDeployment) -> None:
    whole = live.post(CHAT, **ASK).json()
    body = live.post(CHAT, **ASK, stream=True, stream_options={"include_usage": True}).content
    assert body.endswith(b"\n\ndata: [DONE]\n\n")
    with live.openai() as client:
        chunks = list(client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True}))  # type: ignore[call-overload] # keyword arguments from a literal
    assert len(strict_events(body)) == len(chunks) + 1
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == whole["choices"][0]["message"]["content"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens == whole["usage"]["completion_tokens"]
    assert chunks[-1].usage.prompt_tokens == whole["usage"]["prompt_tokens"]


def test_a_stream_through_the_gateway_has_the_bytes_of_the_engines_own(live: LiveDeployment) -> None:
    headers = {"X-Request-Id": "same"}
    asked = {**ASK, "stream": True}

    def comparable(answer: httpx.Response) -> bytes:
        assert answer.status_code == 200
        return re.sub(rb'"created":\d+', b'"created":0', answer.content)

    with live.engine(REAL) as engine:
        direct = comparable(engine.post(CHAT, json=asked, headers=headers, timeout=60))
    through = comparable(httpx.post(live.url + CHAT, json=asked, headers=headers, timeout=60))
    assert direct.count(b"data: ") > 5
    assert through == direct


@pytest.mark.parametrize(
    ("route", "asked", "last"),
    [
        ("/v1/messages", {"messages": QUESTION, "max_tokens": 8}, "message_stop"),
        ("/v1/responses", {"input": "Hello", "max_output_tokens": 8}, "response.completed"),
    ],
)
def test_streams_of_typed_events_end_with_the_one_that_says_so(
    live: LiveDeployment, route: str, asked: dict[str, object], last: str
) -> None:
    names = [name for name, _ in strict_events(live.post(route, model=TINY, stream=True, **asked).content)]
    assert len(names) >= 6
    assert names[-1] == last


def gaps_of_a_stream(live: LiveDeployment) -> list[float]:
    """Seconds between the pieces of one long answer, as they reach a client."""
    asked = {**LONG, "max_tokens": 40, "stream": True}
    with httpx.stream("POST", f"{live.url}/v1/completions", json=asked, timeout=60) as answer:
        arrivals = [time.monotonic() for _ in answer.iter_raw()]
    assert len(arrivals) >= 30, "events were gathered instead of passed on"
    return [later - earlier for earlier, later in itertools.pairwise(arrivals)]


def test_tokens_arrive_one_by_one_as_they_are_made(live: LiveDeployment) -> None:
    # A stall of a busy machine gathers a few, and of one answer it may gather most; what is buffered comes in bursts in
    # every one. An engine needs over 10 ms for a token, a gathered event comes at once.
    best = max(statistics.median(gaps_of_a_stream(live)) for _ in range(3))
    assert best > 0.002, "most of each answer came in bursts"


def test_refusals_have_the_shape_that_clients_expect(live: LiveDeployment) -> None:
    with live.openai() as client:
        with pytest.raises(openai.NotFoundError) as unsupported:
            client.embeddings.create(model=REAL, input="hello")
        with pytest.raises(openai.NotFoundError) as unknown:
            client.completions.create(model="gpt-4", prompt="hello")
        with pytest.raises(openai.BadRequestError) as too_long:
            client.completions.create(model=TINY, prompt="word " * 3000, max_tokens=1)
    assert (unsupported.value.code, unsupported.value.type) == ("unsupported_route", "invalid_request_error")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    assert "1024" in too_long.value.message
    assert too_long.value.type == "BadRequestError", "vLLM's own refusal, untouched"
    broken = httpx.post(live.url + CHAT, content=b'{"model": ', timeout=10)
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("is_stream", [True, False], ids=["stream", "whole"])
def test_the_engine_stops_working_for_a_client_that_left(live: LiveDeployment, is_stream: bool) -> None:
    eventually(lambda: live.metric(REAL, "num_requests_running") == 0, "the engine is idle", 20)
    before = live.metric(REAL, "generation_tokens_total")
    body = httpx.Request("POST", live.url, json={**LONG, "stream": is_stream}).content
    with socket.create_connection(("127.0.0.1", live.port), timeout=30) as client:
        head = (
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        client.sendall(head.encode() + body)
        if is_stream:
            assert b"200 OK" in client.recv(65536)
        eventually(lambda: live.metric(REAL, "generation_tokens_total") > before, "the engine generates", 20)
        assert live.metric(REAL, "num_requests_running") == 1
    eventually(lambda: live.metric(REAL, "num_requests_running") == 0, "the engine notices", 5)
    stopped_at = live.metric(REAL, "generation_tokens_total")
    assert stopped_at - before < 600, "it did not just finish"
    time.sleep(1)
    assert live.metric(REAL, "generation_tokens_total") == stopped_at
    assert live.stats()["models"][REAL]["in_flight"] == 0
