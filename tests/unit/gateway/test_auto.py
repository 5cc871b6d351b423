"""`model: "auto"`: which model the rules choose, what of a request they read, and what a client is told of it."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import GatewayConfig, Routing, ServedModel
from gateway.routing import READ_CHARS, Choice, Question, choose, question_of, read_question
from gateway.words import words_in
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, eventually, staged

ROUTING: dict[str, Any] = {
    "rules": [
        {"name": "see", "model": "eyes", "has_images": True},
        {"name": "code", "model": "coder", "words": ["Código", "c++", "python"]},
        {"name": "long", "model": "big", "min_prompt_chars": 100, "tools": False},
    ],
    "fallback": "small",
}
NAMES = ("small", "coder", "eyes", "big")
MODELS = {
    name: ServedModel(name=name, socket=Path("/x"), capabilities=("vision",) if name == "eyes" else ("tools",))
    for name in NAMES
}


def chosen(question: Question, *, ready: tuple[str, ...] = NAMES) -> Choice:
    return choose(Routing.model_validate(ROUTING), question, MODELS, ready, "small")


def asked(text: str, **more: Any) -> Question:
    return question_of({"messages": [{"role": "user", "content": text}], **more})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Which CÓDIGO, señor?", {"which", "codigo", "senor"}),
        ("C++ and C# and C.", {"c++", "c#", "c", "and"}),
        ("node.js x+y a_b", {"node", "js", "x", "y", "a_b"}),
        ("co\u0301digo STRASSE straße", {"codigo", "strasse"}),
        ("", set()),
    ],
)
def test_words_are_whole_and_without_case_and_accents(text: str, words: set[str]) -> None:
    assert words_in(text) == words


@pytest.mark.parametrize(
    ("question", "model", "reason"),
    [
        (asked("hello"), "small", "fallback"),
        (asked("Mi CODIGO falla"), "coder", "code: word codigo"),
        (asked("pythonic codigos"), "small", "fallback"),
        (asked("In C++?"), "coder", "code: word c++"),
        (asked("In C?"), "small", "fallback"),
        (asked("x" * 100), "big", "long: no tools, 100 characters or more"),
        (asked("x" * 99), "small", "fallback"),
        (asked("x" * 100, tools=[{}]), "small", "fallback"),
        (Question(words=frozenset({"python"}), has_images=True), "eyes", "see: images"),
    ],
)
def test_the_first_rule_that_applies_decides(question: Question, model: str, reason: str) -> None:
    assert chosen(question) == Choice(model=model, reason=reason)


@pytest.mark.parametrize(
    ("text", "ready", "model", "reason"),
    [
        ("python " + "x" * 100, ("small", "big"), "big", "long: no tools, 100 characters or more; not ready: coder"),
        ("python", ("small", "big"), "small", "fallback; not ready: coder"),
        ("python", ("big",), "big", "can answer; not ready: coder, small, eyes"),
        ("python", (), "coder", "code: word python"),
    ],
)
def test_a_model_that_is_not_ready_is_passed_over(text: str, ready: tuple[str, ...], model: str, reason: str) -> None:
    assert chosen(asked(text), ready=ready) == Choice(model=model, reason=reason)


def test_a_picture_goes_to_no_model_that_cannot_see_it() -> None:
    assert chosen(Question(has_images=True), ready=("small", "big")) == Choice(model="eyes", reason="see: images")


def test_what_no_model_can_is_the_fallbacks_to_refuse() -> None:
    both = Question(has_images=True, has_tools=True)
    assert chosen(both, ready=("small",)).model == "small"


@given(
    st.builds(
        Question,
        words=st.frozensets(st.sampled_from(["python", "codigo", "x"])),
        chars=st.integers(0, 200),
        has_images=st.booleans(),
        has_tools=st.booleans(),
    ),
    st.sets(st.sampled_from(NAMES), min_size=1),
)
def test_the_choice_is_ready_whenever_one_that_can_is(question: Question, ready: set[str]) -> None:
    choice = chosen(question, ready=tuple(sorted(ready)))
    assert choice == chosen(question, ready=tuple(sorted(ready, reverse=True)))
    assert choice.reason.isascii()
    needs = {name for name, has in (("vision", question.has_images), ("tools", question.has_tools)) if has}
    able = {name for name in ready if needs <= set(MODELS[name].capabilities)}
    if able:
        assert choice.model in able
    if needs == {"vision", "tools"}:
        assert choice.model in ready


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {
                "messages": [
                    {"role": "system", "content": "python"},
                    {"role": "user", "content": "java"},
                    {"role": "user", "content": "c"},
                    {"role": "assistant", "content": "php"},
                ]
            },
            Question(words=frozenset({"c"}), chars=1),
        ),
        (
            {  # a tool's result is nothing that the user said
                "messages": [
                    {"role": "user", "content": "why"},
                    {"role": "user", "content": [{"type": "tool_result", "content": "python"}]},
                ]
            },
            Question(words=frozenset({"why"}), chars=3),
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image", "source": {}}]},
                    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                ],
                "tools": [{}],
            },
            Question(words=frozenset("ab"), chars=3, has_images=True, has_tools=True),
        ),
        ({"prompt": "a b"}, Question(words=frozenset("ab"), chars=3)),
        ({"prompt": ["a", "b"]}, Question(words=frozenset("ab"), chars=3)),
        ({"input": "a b"}, Question(words=frozenset("ab"), chars=3)),
        (
            {"input": [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "input_image"}]}]},
            Question(words=frozenset("a"), chars=1, has_images=True),
        ),
        ({"prompt": "x " * READ_CHARS + "python"}, Question(words=frozenset("x"), chars=2 * READ_CHARS + 6)),
    ],
)  # fmt: skip
def test_what_is_read_of_a_request(body: dict[str, Any], expected: Question) -> None:
    assert question_of(body) == expected


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": None},
        {"messages": 7},
        {"messages": [7, None, {}]},
        {"prompt": {"a": 1}},
        {"prompt": [[1, 2]]},
        {"tools": "x"},
        {"messages": [{"role": "user", "content": 7}]},
        {"messages": [{"role": "user", "content": [None, 1, {"text": 2}]}]},
        {"messages": [{"role": ["user"], "content": [{"type": []}, {"type": {}}, {"type": None}]}]},
    ],
)
def test_what_cannot_be_read_is_nothing(body: dict[str, Any]) -> None:
    assert question_of(body) == Question()


def test_a_body_of_very_many_values_is_not_read_and_takes_no_time() -> None:
    raw = b'{"messages":[' + b"[]," * 5_000_000 + b"[]]}"
    began = time.process_time()
    assert read_question(raw) == Question()
    assert time.process_time() - began < 0.5  # parsing it takes seconds


@pytest.mark.parametrize("name", ["auto", "default", "", None, "AUTO:latest"])
async def test_the_answer_says_who_answered_and_why(tmp_path: Path, name: str | None) -> None:
    small, coder = FakeEngine(name="small"), FakeEngine(name="coder")
    routing = {"rules": [ROUTING["rules"][1]]}
    body = {"model": name, "messages": [{"role": "user", "content": "Mi código"}]}
    async with staged(tmp_path, small, coder, routing=routing) as stage:
        for stream in (False, True):
            async with stage.session.post(CHAT, json={**body, "stream": stream}) as answer:
                assert (answer.headers["X-Served-Model"], answer.headers["X-Route-Reason"]) == (
                    "coder",
                    "code: word codigo",
                )
        async with stage.session.post("/api/chat", json={**body, "stream": False}) as answer:
            assert (answer.headers["X-Served-Model"], (await answer.json())["done"]) == ("coder", True)
        async with stage.session.post(CHAT, json={**body, "model": "small"}) as answer:
            assert "X-Route-Reason" not in answer.headers
    assert [json.loads(each.body)["model"] for each in coder.received] == ["coder"] * 3
    assert len(small.received) == 1


async def test_an_engine_that_went_away_is_passed_over(tmp_path: Path) -> None:
    small, coder = FakeEngine(name="small"), FakeEngine(name="coder")
    body = {"model": "auto", "messages": [{"role": "user", "content": "python"}]}
    async with staged(tmp_path, small, coder, routing={"rules": [ROUTING["rules"][1]]}) as stage:
        coder.is_healthy = False
        await eventually(lambda: stage.gateway.fleet.ready_models() == ["small"])
        async with stage.session.post(CHAT, json=body) as answer:
            assert (answer.status, answer.headers["X-Served-Model"]) == (200, "small")
            assert answer.headers["X-Route-Reason"] == "fallback; not ready: coder"
        small.is_healthy = False
        await eventually(lambda: not stage.gateway.fleet.ready_models())
        async with stage.session.post(CHAT, json=body) as answer:
            assert (answer.status, answer.headers["X-Route-Reason"]) == (503, "code: word python")
            assert "Retry-After" in answer.headers
        await asyncio.sleep(0)


@pytest.mark.parametrize("key", ["fallback", "rules"])
def test_a_rule_for_a_model_that_is_not_served_is_refused(key: str) -> None:
    routing = {"fallback": "gone"} if key == "fallback" else {"rules": [{"name": "r", "model": "gone", "tools": True}]}
    models = [{"name": "a", "socket": "/a"}]
    config = {"listen": [{"port": 0}], "default_model": "a", "models": models, "routing": routing}
    with pytest.raises(ValueError, match=r"routing\.(fallback|r): no served model is called 'gone'. Name one that is."):
        GatewayConfig.model_validate(config)
