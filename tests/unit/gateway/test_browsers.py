"""What web pages can do: nothing from a foreign name or origin, everything from an allowed one."""

from pathlib import Path
from typing import Any

import pytest

from gateway.keys import Keys
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, raw_exchange, staged

PAGE = "https://chat.example.com"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("LOCALHOST:8080", 200),
        ("127.0.0.1:1", 200),
        ("127.9.9.9", 200),
        ("[::1]:8080", 200),
        ("ai.example.com", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example:80", 421),
        ("ai.example.com.evil.example", 421),
        ("10.0.0.1", 421),
        ("[::2]", 421),
        ("", 421),
    ],
)
@pytest.mark.parametrize("path", ["/livez", "/v1/models", "/stats"])
async def test_on_loopback_only_our_own_names_are_answered(tmp_path: Path, host: str, status: int, path: str) -> None:
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    async with staged(tmp_path, FakeEngine(name="a"), hosts=["ai.example.com"]) as stage:
        answer = await raw_exchange(stage.port, request)
        assert int(answer.split()[1]) == status
        assert b"evil" not in answer
    assert status == 200 or b'"code": "misdirected_request"' in answer


async def test_elsewhere_every_name_is_answered(tmp_path: Path) -> None:
    listen = [{"host": "127.0.0.1", "port": 0}, {"host": "0.0.0.0", "port": 0}]
    async with (
        staged(tmp_path, FakeEngine(name="a"), listen=listen) as stage,
        stage.session.get("/livez", headers={"Host": "evil.example"}) as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize(
    ("origin", "origins", "status", "allowed"),
    [
        (None, [], 200, None),
        ("http://127.0.0.1:{port}", [], 200, None),
        ("http://127.0.0.1:1", [], 403, None),
        (PAGE, [], 403, None),
        ("null", [PAGE], 403, None),
        (PAGE, [PAGE], 200, PAGE),
        ("http://chat.example.com", [PAGE], 403, None),
        (PAGE + ".evil.example", [PAGE], 403, None),
        ("http://any.example", ["*"], 200, "http://any.example"),
    ],
)
async def test_a_foreign_page_changes_nothing_and_reads_nothing(
    tmp_path: Path, origin: str | None, origins: list[str], status: int, allowed: str | None
) -> None:
    engine = FakeEngine(name="a", response_headers={"Access-Control-Allow-Origin": "*"})
    async with staged(tmp_path, engine, cors_origins=origins) as stage:
        headers = {} if origin is None else {"Origin": origin.format(port=stage.port)}
        for ask in (
            stage.session.post(CHAT, json={"model": "a"}, headers=headers),
            stage.session.post(CHAT, json={"model": "a", "stream": True}, headers=headers),
        ):
            async with ask as answer:
                assert answer.status == status
                assert answer.headers.get("Access-Control-Allow-Origin") == allowed
                assert "Access-Control-Allow-Credentials" not in answer.headers
        async with stage.session.get("/v1/models", headers=headers) as answer:
            assert (answer.status, answer.headers.get("Access-Control-Allow-Origin")) == (200, allowed)
        async with stage.session.post(CHAT, json={"model": "none"}, headers=headers) as answer:
            assert answer.headers.get("Access-Control-Allow-Origin") == allowed
    assert len(engine.received) == (2 if status == 200 else 0)
    assert all("Origin" not in received.headers for received in engine.received)


@pytest.mark.parametrize(("origin", "status"), [(PAGE, 204), ("https://evil.example", 403)])
async def test_a_preflight_is_answered_without_a_key(tmp_path: Path, origin: str, status: int) -> None:
    (tmp_path / "keys").write_text("sk-a\n")
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
        "Access-Control-Request-Private-Network": "true",
    }
    async with staged(tmp_path, FakeEngine(name="a"), cors_origins=[PAGE]) as stage:
        stage.gateway.tenancy.keys = Keys(tmp_path / "keys")
        async with stage.session.options(CHAT, headers=asked) as answer:
            assert answer.status == status
            found: dict[str, Any] = {k: v for k, v in answer.headers.items() if k.startswith("Access-Control-")}
        async with stage.session.options(CHAT) as plain:
            assert plain.status == 401
    if status == 204:
        assert found == {
            "Access-Control-Allow-Origin": PAGE,
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Allow-Headers": "authorization,content-type",
            "Access-Control-Allow-Private-Network": "true",
            "Access-Control-Expose-Headers": (
                "Retry-After, X-Request-Id, X-Served-Model, X-Route-Reason, x-ratelimit-limit-requests, "
                "x-ratelimit-remaining-requests, x-ratelimit-reset-requests, x-ratelimit-limit-tokens, "
                "x-ratelimit-remaining-tokens, x-ratelimit-reset-tokens"
            ),
            "Access-Control-Max-Age": "600",
        }
    else:
        assert not found


@pytest.mark.parametrize(
    "origin", ["http://[", "http://]", "http://[::1", "http://\u2100.example", "://", "http://[v1.x]"]
)
async def test_an_origin_that_is_no_url_is_foreign(tmp_path: Path, origin: str) -> None:
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nOrigin: {origin}\r\n\r\n"
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        assert (await raw_exchange(stage.port, head.encode())).startswith(b"HTTP/1.1 403 ")
