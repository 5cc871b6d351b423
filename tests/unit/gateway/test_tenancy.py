"""What a key may do, as its caller sees it over HTTP, and what is counted of it."""

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from openai import AsyncOpenAI, PermissionDeniedError, RateLimitError

from agent.usage import UsageRow, add, day_of, report
from gateway.errors import ApiError
from gateway.keys import LOOK_S, Keys, is_open, is_passed_on
from gateway.limits import day_at
from gateway.request_context import RequestContext
from gateway.tenancy import Tenancy
from gateway.usage import Usage
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, Stage, eventually, staged

ALICE, BOB, CAROL = "sk-alice-0123456789ab", "sk-bob-0123456789abcd", "sk-carol-0123456789ab"
MESSAGES: dict[str, Any] = {"messages": []}


@contextlib.asynccontextmanager
async def keyed(directory: Path, keys: str, *engines: FakeEngine, **config: Any) -> AsyncIterator[Stage]:
    """A gateway that asks for keys and writes usage down."""
    (directory / "keys").write_text(keys)
    async with staged(directory, *(engines or (FakeEngine(name="a"),)), **config) as stage:
        stage.gateway.tenancy = Tenancy(Keys(directory / "keys"), Usage(directory / "usage"))
        yield stage


async def ask(stage: Stage, key: str, model: str = "a", **more: Any) -> tuple[int, dict[str, str], Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with stage.session.post(CHAT, json={"model": model, **MESSAGES, **more}, headers=headers) as answer:
        text = await answer.text()
        return answer.status, dict(answer.headers), text if more.get("stream") else json.loads(text)


CONFIG = {"aliases": {"a": ["fast"]}}


async def test_a_key_for_one_model_gets_no_other_and_sees_no_other(tmp_path: Path) -> None:
    first, second = FakeEngine(name="a"), FakeEngine(name="b")
    async with keyed(tmp_path, f"{ALICE} models=fast\n{BOB} name=bob\n", first, second, **CONFIG) as stage:
        assert [(await ask(stage, ALICE, model))[0] for model in ("a", "fast", "b", "auto", "none")] == [
            200, 200, 403, 200, 404,
        ]  # fmt: skip
        _, _, refused = await ask(stage, ALICE, "b")
        assert refused == {
            "error": {
                "message": "This API key may not use the model 'b'. It may use: a.",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_allowed",
            }
        }
        assert "'none' does not exist. Ask for one of: a." in (await ask(stage, ALICE, "none"))[2]["error"]["message"]
        assert not second.received
        for key, seen, status in ((ALICE, ["a"], 403), (BOB, ["a", "b"], 200)):
            headers = {"x-api-key": key}
            async with stage.session.get("/v1/models", headers=headers) as answer:
                assert [card["id"] for card in (await answer.json())["data"]] == seen
            async with stage.session.get("/v1/models/b", headers=headers) as answer:
                assert answer.status == status
        assert (await ask(stage, BOB, "b"))[0] == 200
        url = f"http://127.0.0.1:{stage.port}/v1"
        async with AsyncOpenAI(base_url=url, api_key=ALICE, max_retries=0) as client:
            with pytest.raises(PermissionDeniedError):
                await client.chat.completions.create(model="b", messages=[])


async def test_the_page_shows_a_key_what_it_used_today_and_may_and_nothing_of_others(tmp_path: Path) -> None:
    async with keyed(tmp_path, f"{ALICE} name=alice tokens_per_day=1000\n{BOB} name=bob\n") as stage:
        for key in (ALICE, ALICE, BOB):
            await ask(stage, key)
        await ask(stage, ALICE, "none")
        async with stage.session.get("/ui/usage", headers={"x-api-key": ALICE}) as answer:
            told = await answer.json()
        # A fake engine counts 1 token of each prompt and answers 3.
        used = {"requests": 2, "errors": 0, "prompt_tokens": 2, "completion_tokens": 6, "estimated": 0}
        assert told["models"].pop("a") == used
        assert [row["errors"] for row in told["models"].values()] == [1]
        assert (told["key"], told["tokens_per_day"], told["requests_per_minute"]) == ("alice", 1000, None)
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        assert await stage.json("/ui/usage") == {
            "key": None, "requests_per_minute": None, "tokens_per_day": None, "models": {},
        }  # fmt: skip


async def test_the_third_of_two_requests_a_minute_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with keyed(tmp_path, f"{ALICE} requests_per_minute=2\n{BOB}\n") as stage:
        told = [await ask(stage, ALICE) for _ in range(3)]
        assert [status for status, _, _ in told] == [200, 200, 429]
        assert [headers["x-ratelimit-remaining-requests"] for _, headers, _ in told] == ["1", "0", "0"]
        assert {headers["x-ratelimit-limit-requests"] for _, headers, _ in told} == {"2"}
        assert told[2][1]["Retry-After"] == "30"
        assert told[2][2]["error"]["code"] == "rate_limit_exceeded"
        status, headers, _ = await ask(stage, BOB)
        assert (status, [name for name in headers if name.startswith("x-ratelimit")]) == (200, [])
        async with stage.session.get("/v1/models", headers={"api-key": ALICE}) as answer:
            assert answer.status == 200  # what costs nothing is not counted
        async with AsyncOpenAI(base_url=f"http://127.0.0.1:{stage.port}/v1", api_key=ALICE, max_retries=0) as client:
            with pytest.raises(RateLimitError) as refused:
                await client.chat.completions.create(model="a", messages=[])
        assert refused.value.response.headers["Retry-After"] == "30"


async def test_streams_carry_the_limits_too(tmp_path: Path) -> None:
    async with keyed(tmp_path, f"{ALICE} requests_per_minute=9 tokens_per_day=50\n") as stage:
        _, headers, _ = await ask(stage, ALICE, stream=True)
        assert (headers["x-ratelimit-remaining-requests"], headers["x-ratelimit-remaining-tokens"]) == ("8", "50")


async def test_a_day_that_is_used_up_ends_at_midnight(tmp_path: Path) -> None:
    async with keyed(tmp_path, f"{ALICE} name=alice tokens_per_day=8\n") as stage:  # an answer has 1 + 3
        assert [(await ask(stage, ALICE))[0] for _ in range(3)] == [200, 200, 429]
        _, headers, refused = await ask(stage, ALICE)
        left_s = 86_400 - time.time() % 86_400
        assert left_s - 5 < int(headers["Retry-After"]) < left_s + 5
        assert (headers["x-ratelimit-remaining-tokens"], refused["error"]["code"]) == ("0", "insufficient_quota")
        assert stage.gateway.tenancy.usage.tokens_today("alice") == 8


async def test_what_was_used_before_a_restart_counts(tmp_path: Path) -> None:
    today = day_at(time.time())
    add(tmp_path / "usage", today, [UsageRow(key="alice", model="gone", prompt_tokens=5, completion_tokens=3)])
    async with keyed(tmp_path, f"{ALICE} name=alice tokens_per_day=8\n") as stage:
        stage.gateway.tenancy.usage.recall()
        assert (await ask(stage, ALICE))[0] == 429


async def test_usage_is_counted_by_key_and_model_in_the_engines_own_tokens(tmp_path: Path) -> None:
    engines = FakeEngine(name="a", tokens=4), FakeEngine(name="b", max_model_len=20)
    async with keyed(tmp_path, f"{ALICE} name=alice\n{BOB} name=bob\n", *engines) as stage:
        await ask(stage, ALICE)
        await ask(stage, ALICE, temperature=9)  # refused by the engine
        await ask(stage, ALICE, "none")
        await ask(stage, BOB, "b", stream=True, user="x" * 10)
        await ask(stage, BOB, "b", stream=True, user="x" * 1000)
        usage = stage.gateway.tenancy.usage
        await eventually(lambda: not stage.gateway.requests)  # a client has its last byte before it is counted
        await usage.write()
        assert day_of(tmp_path / "usage", day_at(time.time())).rows == (
            UsageRow(key="alice", model="-", requests=1, errors=1),
            UsageRow(key="alice", model="a", requests=2, errors=1, prompt_tokens=1, completion_tokens=4),
            # Four events and [DONE] each, of which the first tells the role; {"model": "b", "messages": [], "stream":
            # true, "user": "xxxxxxxxxx"} has 68 bytes, and no prompt is longer than 20 tokens there.
            UsageRow(key="bob", model="b", requests=2, prompt_tokens=17 + 20, completion_tokens=4 + 4, estimated=2),
        )
        await usage.write()
        assert [row.requests for row in day_of(tmp_path / "usage", day_at(time.time())).rows] == [1, 2, 2]


LISTS = {
    "/v1/models": lambda said: [each["id"] for each in said["data"]],
    "/models": lambda said: [each["id"] for each in said["data"]],
    "/experts": lambda said: [each["expert_id"] for each in said["experts"]],
    "/api/tags": lambda said: [each["name"] for each in said["models"]],
    "/api/ps": lambda said: [each["name"] for each in said["models"]],
}


@pytest.mark.parametrize("path", LISTS)
async def test_every_list_of_models_has_those_that_the_key_may_use(tmp_path: Path, path: str) -> None:
    engines = FakeEngine(name="a", max_model_len=20), FakeEngine(name="b")
    keys = f"{ALICE} name=alice models=b\n{BOB} name=bob\n{'c' * 20} name=carol models=gone\n"
    async with keyed(tmp_path, keys, *engines) as stage:
        seen = {}
        for key in (ALICE, BOB, "c" * 20):
            async with stage.session.get(path, headers={"Authorization": f"Bearer {key}"}) as answer:
                seen[key] = [name.removesuffix(":latest") for name in LISTS[path](await answer.json())]
    assert list(seen.values()) == [["b"], ["a", "b"], []]


async def test_a_key_for_other_models_learns_nothing_of_one_through_ollamas_show(tmp_path: Path) -> None:
    async with keyed(tmp_path, f"{ALICE} name=alice models=b\n", FakeEngine(name="a"), FakeEngine(name="b")) as stage:
        headers = {"Authorization": f"Bearer {ALICE}"}
        for model, status in (("a", 403), ("b", 200), ("none", 404)):
            async with stage.session.post("/api/show", json={"model": model}, headers=headers) as answer:
                assert answer.status == status
                said = await answer.text()
        assert "b" in said
        assert "'a'" not in said


async def test_the_page_lists_a_callers_own_requests(tmp_path: Path) -> None:
    async with keyed(tmp_path, f"{ALICE} name=alice\n{BOB} name=bob\n", FakeEngine(name="a")) as stage:
        await ask(stage, ALICE)
        await ask(stage, BOB, "none")
        await eventually(lambda: not stage.gateway.requests)
        seen = []
        for key in (ALICE, BOB):
            async with stage.session.get("/ui/requests", headers={"Authorization": f"Bearer {key}"}) as answer:
                seen.append([each["status"] for each in (await answer.json())["requests"]])
    assert seen == [[200], [404]]


async def test_a_key_without_a_served_model_gets_an_empty_page_in_anthropics_shape(tmp_path: Path) -> None:
    async with keyed(tmp_path, f"{ALICE} name=alice models=gone\n", FakeEngine(name="a")) as stage:
        headers = {"x-api-key": ALICE, "anthropic-version": "2023-06-01"}
        async with stage.session.get("/v1/models", headers=headers) as answer:
            said = await answer.json()
    assert said == {"data": [], "has_more": False, "first_id": None, "last_id": None}


@pytest.mark.parametrize("stream", [True, False])
async def test_usage_through_ollamas_api_is_the_engines_own_count(tmp_path: Path, stream: bool) -> None:
    engine = FakeEngine(name="a", tokens=4, token_delay_s=0.01)  # each event in a piece of its own
    async with keyed(tmp_path, f"{ALICE} name=alice\n", engine) as stage:
        asked = {"model": "a", "messages": [{"role": "user", "content": "x"}], "stream": stream}
        headers = {"Authorization": f"Bearer {ALICE}"}
        async with stage.session.post("/api/chat", json=asked, headers=headers) as answer:
            assert answer.status == 200
            await answer.read()
        await eventually(lambda: not stage.gateway.requests)
        await stage.gateway.tenancy.usage.write()
    assert day_of(tmp_path / "usage", day_at(time.time())).rows == (
        UsageRow(key="alice", model="a", requests=1, prompt_tokens=1, completion_tokens=4),
    )


def used(**more: Any) -> RequestContext:
    return RequestContext(request_id="1", method="POST", route=CHAT, caller="alice", model="a", status=200, **more)


async def test_two_gateways_count_each_request_once_and_know_of_each_others(tmp_path: Path) -> None:
    """As while one drains and the other serves already."""
    at_s = 1769900000.0
    old, new = (Usage(tmp_path, clock=lambda: at_s) for _ in range(2))
    for usage in (old, new):
        usage.recall()
    for number in range(20):
        for usage in (old, new):
            context = used()
            context.tokens = None
            usage.count(context, None)
        if number % 3 == 0:
            await asyncio.gather(old.write(), new.write())
    await asyncio.gather(old.write(), new.write())
    assert day_of(tmp_path, day_at(at_s)).rows == (UsageRow(key="alice", model="a", requests=40),)


async def test_what_cannot_be_written_is_kept_and_said(tmp_path: Path) -> None:
    (tmp_path / "usage").write_text("a file is in the way")
    usage = Usage(tmp_path / "usage", clock=lambda: 1769900000.0)
    usage.count(used(), None)
    await usage.write()
    assert usage.error == "File exists"
    usage.count(used(), None)
    (tmp_path / "usage").unlink()
    await usage.write()
    assert usage.error is None
    assert report(tmp_path / "usage").days[0].rows == (UsageRow(key="alice", model="a", requests=2),)


async def test_midnight_begins_another_day(tmp_path: Path) -> None:
    now = [1769903999.0]  # date -u -d '2026-01-31 23:59:59' +%s
    usage = Usage(tmp_path, clock=lambda: now[0])
    add(tmp_path, "2026-01-31", [UsageRow(key="alice", model="a", prompt_tokens=5)])
    usage.recall()
    usage.count(used(), None)
    assert usage.tokens_today("alice") == 5
    now[0] += 2
    assert usage.tokens_today("alice") == 0
    usage.count(used(), None)
    await usage.write()
    assert [(each.day, each.rows[0].requests) for each in report(tmp_path).days] == [
        ("2026-01-31", 1), ("2026-02-01", 1),
    ]  # fmt: skip


async def test_models_that_keys_name_and_nobody_serves_are_told(tmp_path: Path) -> None:
    async with keyed(tmp_path, f"{ALICE} models=a,phi4_fsat\n{BOB} models=phi4_fsat,A\n{CAROL}\n") as stage:
        assert (await stage.json("/stats"))["keys"]["unserved"] == ["phi4_fsat", "A"]


async def test_a_list_with_mistakes_leaves_the_keys_in_force_and_is_told(tmp_path: Path) -> None:
    async with keyed(tmp_path, f"{ALICE}\n") as stage:
        assert (await stage.json("/stats"))["keys"] == {
            "count": 1, "error": None, "usage_error": None, "unserved": [],
        }  # fmt: skip
        (tmp_path / "keys").write_text(f"{BOB}\n{CAROL} limit=5\n\nname=x\n")
        await asyncio.sleep(LOOK_S)
        assert [(await ask(stage, key))[0] for key in (ALICE, BOB, CAROL)] == [200, 401, 401]
        told = (await stage.json("/stats"))["keys"]
        assert told["error"] == (
            "line 2: word 2 is no setting. Use name=, models=, requests_per_minute=, tokens_per_day=.\n"
            "line 4: the key is missing. Put it first, and its settings behind it."
        )
        (tmp_path / "keys.problems").write_text("secret: line 1: what gateway-keys.service found\n")
        (tmp_path / "keys").write_text(f"{BOB}\n")
        await asyncio.sleep(LOOK_S)
        assert [(await ask(stage, key))[0] for key in (ALICE, BOB)] == [401, 200]
        assert (await stage.json("/stats"))["keys"]["error"] == "secret: line 1: what gateway-keys.service found"
        (tmp_path / "keys.problems").unlink()
        await asyncio.sleep(LOOK_S)
        assert (await stage.json("/stats"))["keys"]["error"] is None


async def test_only_who_is_on_the_host_is_answered_without_a_key_and_not_who_comes_through_a_proxy_there(
    tmp_path: Path,
) -> None:
    routes = ("/", "/health", "/livez", "/metrics", "/readyz", "/stats", "/v1/models", "/nothing")
    async with keyed(tmp_path, f"{ALICE}\n") as stage:
        for headers, statuses in (
            ({}, [200, 200, 200, 200, 200, 200, 401, 401]),
            ({"X-Forwarded-For": "203.0.113.9"}, [401, 401, 200, 401, 401, 401, 401, 401]),
            ({"X-Forwarded-For": "203.0.113.9", "api-key": ALICE}, [200, 200, 200, 200, 200, 200, 200, 404]),
        ):
            found = []
            for route in routes:
                async with stage.session.get(route, headers=headers) as answer:
                    found.append(answer.status)
            assert found == statuses, headers


OWN = "10.0.0.5"


@pytest.mark.parametrize(
    ("peer", "opened"),
    [
        ("127.0.0.1", {"/", "/health", "/livez", "/metrics", "/readyz", "/stats"}),
        ("::1", {"/", "/health", "/livez", "/metrics", "/readyz", "/stats"}),
        (OWN, {"/", "/health", "/livez", "/metrics", "/readyz", "/stats"}),
        ("10.0.0.6", {"/livez"}),
        ("35.191.200.1", {"/livez", "/readyz"}),
        ("130.211.3.255", {"/livez", "/readyz"}),
        ("130.211.4.0", {"/livez"}),
        ("fe80::1%eth0", {"/livez"}),
        ("", {"/livez"}),
    ],
)
def test_what_is_open_depends_on_who_asks(peer: str, opened: set[str]) -> None:
    routes = {"/", "/health", "/livez", "/metrics", "/readyz", "/stats", "/v1/models", CHAT, "-"}
    assert {route for route in routes if is_open(route, peer, OWN, is_passed_on=False)} == opened
    assert {route for route in routes if is_open(route, peer, OWN, is_passed_on=True)} == {"/livez"}


def test_a_proxy_says_so_in_one_of_three_headers() -> None:
    assert [is_passed_on({name: "x"}) for name in ("Forwarded", "Via", "X-Forwarded-For", "X-Request-Id")] == [
        True, True, True, False,
    ]  # fmt: skip


async def test_the_name_of_the_caller_is_known_to_who_queues_and_stands_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="gateway")
    async with keyed(tmp_path, f"{ALICE} name=alice\n") as stage:
        await ask(stage, ALICE)
        with contextlib.suppress(ApiError, aiohttp.ClientError):
            await ask(stage, BOB)
    lines = [record.getMessage() for record in caplog.records if "event=request " in record.getMessage()]
    assert [re.findall(r"caller=(\S+)", line) for line in lines] == [["alice"], []]
    assert not [line for line in lines if ALICE in line or BOB in line]
