"""What a key's list of models means where no model is named, or another way than in a body of JSON names it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway.config_file import parse_config
from gateway.form import MAX_PARTS, model_span
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import Stage, config_json, eventually, raw_exchange
from tests.unit.gateway.test_tenancy import ALICE, BOB, ask, keyed

PYTHON = {"rules": [{"name": "code", "model": "b", "words": ["python"]}], "fallback": "a"}
SEES: dict[str, Any] = {"rules": [{"name": "see", "model": "b", "has_images": True}], "fallback": "a"}
QUESTION: dict[str, Any] = {"messages": [{"role": "user", "content": "python"}]}
PICTURE: dict[str, Any] = {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}


async def chosen(stage: Stage, key: str, **more: Any) -> tuple[int, str | None, str | None]:
    status, headers, _ = await ask(stage, key, "auto", **more)
    return status, headers.get("X-Served-Model"), headers.get("X-Route-Reason")


def three() -> tuple[FakeEngine, ...]:
    return FakeEngine(name="a"), FakeEngine(name="b"), FakeEngine(name="c")


async def test_auto_is_one_of_the_models_that_the_key_may_use(tmp_path: Path) -> None:
    async with keyed(tmp_path, f"{ALICE} models=c\n{BOB} name=bob\n", *three()) as stage:
        assert await chosen(stage, ALICE) == (200, "c", "can answer")
        assert await chosen(stage, BOB) == (200, "a", None)


async def test_rules_choose_among_the_models_of_the_key_and_tell_of_no_other(tmp_path: Path) -> None:
    keys = f"{ALICE} models=c,a\n{BOB} name=bob\n{'c' * 20} models=b\n"
    engines = three()
    async with keyed(tmp_path, keys, *engines, routing=PYTHON) as stage:
        assert await chosen(stage, ALICE, **QUESTION) == (200, "a", "fallback")
        assert await chosen(stage, BOB, **QUESTION) == (200, "b", "code: word python")
        assert await chosen(stage, "c" * 20) == (200, "b", "can answer")
        engines[0].is_healthy = False
        await eventually(lambda: "a" not in stage.gateway.fleet.ready_models())
        assert await chosen(stage, ALICE, **QUESTION) == (200, "c", "can answer; not ready: a")


async def test_where_no_model_of_the_key_is_ready_its_state_is_told(tmp_path: Path) -> None:
    engines = three()
    async with keyed(tmp_path, f"{ALICE} models=c\n", *engines, routing=PYTHON) as stage:
        engines[2].is_healthy = False
        await eventually(lambda: stage.gateway.fleet.ready_models() == ["a", "b"])
        status, headers, body = await ask(stage, ALICE, "auto", **QUESTION)
        assert (status, body["error"]["code"]) == (503, "model_unreachable")
        assert "Retry-After" in headers


async def test_what_only_other_models_can_is_not_asked_of_them(tmp_path: Path) -> None:
    models = [
        {"name": name, "socket": str(tmp_path / f"{name}.sock"), "capabilities": ["vision"] if name == "b" else []}
        for name in ("a", "b")
    ]
    engines = FakeEngine(name="a"), FakeEngine(name="b")
    keys = f"{ALICE} models=a\n{BOB} name=bob\n"
    async with keyed(tmp_path, keys, *engines, models=models, routing=SEES) as stage:
        await eventually(lambda: len(stage.gateway.fleet.ready_models()) == 2)
        assert await chosen(stage, ALICE, **PICTURE) == (200, "a", "fallback")
        assert await chosen(stage, BOB, **PICTURE) == (200, "b", "see: images")


@pytest.mark.parametrize("routing", [None, PYTHON])
async def test_a_key_for_nothing_that_is_served_is_told_so(tmp_path: Path, routing: dict[str, Any] | None) -> None:
    async with keyed(tmp_path, f"{ALICE} models=gone\n", *three(), routing=routing) as stage:
        status, _, body = await ask(stage, ALICE, "auto")
        assert (status, body["error"]["message"]) == (
            403, "This API key may not use the model 'a'. It may use: none.",
        )  # fmt: skip
        status, _, body = await ask(stage, ALICE, "x")
        assert (status, body["error"]["message"]) == (404, "The model 'x' does not exist. Ask for one of: none.")


async def test_a_model_that_a_reload_takes_away_tells_of_no_other_to_who_waits(tmp_path: Path) -> None:
    engines = FakeEngine(name="a"), FakeEngine(name="b", failure="hang"), FakeEngine(name="c")
    names = [{"name": name, "socket": str(tmp_path / f"{name}.sock"), "concurrency": 1} for name in "abc"]
    async with keyed(tmp_path, f"{ALICE} models=b,c\n", *engines, models=names) as stage:
        await eventually(lambda: len(stage.gateway.fleet.ready_models()) == 3)
        first = asyncio.create_task(ask(stage, ALICE, "b"))
        await eventually(lambda: stage.stats("b").running == 1)
        second = asyncio.create_task(ask(stage, ALICE, "b"))
        await eventually(lambda: stage.stats("b").waiting == 1)
        await stage.gateway.fleet.adopt(parse_config(config_json(tmp_path, "a", "c"), where="gateway.json"))
        status, _, body = await second
        assert (status, body["error"]["message"]) == (404, "The model 'b' does not exist. Ask for one of: c.")
        first.cancel()


async def responses(stage: Stage, key: str, method: str, path: str, **more: Any) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    async with stage.session.request(method, path, headers=headers, **more) as answer:
        return answer.status


@pytest.mark.parametrize("stream", [False, True])
async def test_a_response_belongs_to_who_had_it_made(tmp_path: Path, stream: bool) -> None:
    keys = f"{ALICE} name=alice\n{BOB} name=bob\n{'c' * 20} name=alice\n"
    async with keyed(tmp_path, keys) as stage:
        made = {"model": "a", "input": "?", "stream": stream}
        assert await responses(stage, ALICE, "POST", "/v1/responses", json=made) == 200
        for key, status in ((ALICE, 200), ("c" * 20, 200), (BOB, 404)):
            assert await responses(stage, key, "GET", "/v1/responses/resp_a") == status
            assert await responses(stage, key, "POST", "/v1/responses/resp_a/cancel", json={}) == status


async def test_who_may_use_an_adapter_only_gets_its_responses_back(tmp_path: Path) -> None:
    models = [{"name": "a", "adapters": ["sql"], "socket": str(tmp_path / "a.sock")}]
    engine = FakeEngine(name="a", adapters=("sql",))
    async with keyed(tmp_path, f"{ALICE} models=sql\n", engine, models=models) as stage:
        await eventually(lambda: bool(stage.gateway.fleet.ready_models()))
        assert await responses(stage, ALICE, "POST", "/v1/responses", json={"model": "sql", "input": "?"}) == 200
        assert await responses(stage, ALICE, "GET", "/v1/responses/resp_a") == 200


def field(disposition: str, value: str = "m") -> bytes:
    return f"--b\r\nContent-Disposition: form-data; {disposition}\r\n\r\n{value}\r\n".encode()


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (field('name="file"; filename="x; name=model"', "f") + field('name="model"'), b"m"),
        (field('name="file"; filename="\\"; name=\\"model"', "f") + field('name="model"'), b"m"),
        (field('name="file"; filename="x; name=model"', "f"), None),
        (field('filename="x"; name="model"'), b"m"),
        (field("name = model"), b"m"),
        (field('name="mo\\del"'), b"m"),
        (field('NAME="model"'), b"m"),
        (field('name="model"', ""), b""),
        (field('name="x"', 'Content-Disposition: form-data; name="model"\r\n\r\nm'), None),
    ],
)
def test_a_forms_model_is_the_field_of_that_name(raw: bytes, expected: bytes | None) -> None:
    raw += b"--b--\r\n"
    span = model_span(raw, "multipart/form-data; boundary=b")
    assert (None if span is None else raw[slice(*span)]) == expected


async def test_a_form_with_two_models_is_refused_for_nobody_knows_which_one_counts(tmp_path: Path) -> None:
    models = [{"name": "a", "adapters": ["sql"], "socket": str(tmp_path / "a.sock")}]
    engine = FakeEngine(name="a", adapters=("sql",))
    async with keyed(tmp_path, f"{ALICE} models=sql\n", engine, models=models) as stage:
        await eventually(lambda: bool(stage.gateway.fleet.ready_models()))
        for second in ('name="model"', "name=model", 'NAME="mod\\el"'):
            form = field('name="model"', "sql") + field(second, "a") + b"--b--\r\n"
            kind = {"Content-Type": "multipart/form-data; boundary=b"}
            headers = {**kind, "Authorization": f"Bearer {ALICE}"}
            async with stage.session.post("/v1/audio/transcriptions", data=form, headers=headers) as answer:
                assert answer.status == 400
                assert "names several models" in await answer.text()
    assert not engine.received


async def test_a_form_leaves_the_choice_to_us_within_its_keys_models(tmp_path: Path) -> None:
    engines = three()
    form = field('name="model"', "auto") + b"--b--\r\n", b"--b--\r\n"
    async with keyed(tmp_path, f"{ALICE} models=c\n", *engines) as stage:
        headers = {"Content-Type": "multipart/form-data; boundary=b", "Authorization": f"Bearer {ALICE}"}
        for raw in form:
            async with stage.session.post("/v1/audio/transcriptions", data=raw, headers=headers) as answer:
                assert (answer.status, answer.headers["X-Served-Model"]) == (200, "c")
    assert [len(engine.received) for engine in engines] == [0, 0, 2]


@pytest.mark.parametrize("part", [b"\r\n--b", b"--b\r\nA: b\r\n\r\n\r\n"])
async def test_a_form_of_very_many_parts_is_refused_at_once(tmp_path: Path, part: bytes) -> None:
    raw = part * (1024 * 1024)
    async with keyed(tmp_path, f"{ALICE}\n") as stage:
        headers = {"Content-Type": "multipart/form-data; boundary=b", "Authorization": f"Bearer {ALICE}"}
        async with stage.session.post("/v1/audio/transcriptions", data=raw, headers=headers) as answer:
            assert answer.status == 400
            assert f"more than {MAX_PARTS} parts" in await answer.text()


async def test_a_boundary_that_is_no_text_is_no_form(tmp_path: Path) -> None:
    head = f"POST /v1/audio/transcriptions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ALICE}\r\n"
    more = b"Connection: close\r\nContent-Length: 2\r\nContent-Type: multipart/form-data; boundary=\xff\r\n\r\n--"
    async with keyed(tmp_path, f"{ALICE}\n") as stage:
        assert (await raw_exchange(stage.port, head.encode() + more)).startswith(b"HTTP/1.1 400 ")
