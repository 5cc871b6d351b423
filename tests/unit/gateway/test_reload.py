"""A new configuration in a running gateway: what changes, what stays, and what a bad file does."""

import asyncio
from pathlib import Path

from gateway.server import reload
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_stage import config_json, staged


async def test_models_come_go_and_change_while_the_others_keep_their_connections(tmp_path: Path) -> None:
    path = tmp_path / "gateway.json"
    engines = FakeEngine(name="a"), FakeEngine(name="b")
    async with staged(tmp_path, *engines) as stage, running(FakeEngine(name="c"), tmp_path / "c.sock"):
        fleet = stage.gateway.fleet
        kept, digest = fleet.upstreams["a"], fleet.digest
        path.write_bytes(config_json(tmp_path, "c", "a", aliases={"a": ["new-alias"]}))
        await reload(fleet, path)
        assert fleet.upstreams["a"] is kept
        assert fleet.digest != digest
        for asked, status, served in (("new-alias", 200, "a"), (None, 200, "c"), ("b", 404, None)):
            async with stage.chat(asked) as answer:
                assert (answer.status, answer.headers.get("X-Served-Model")) == (status, served)


async def test_a_request_in_flight_keeps_the_engine_that_left_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "gateway.json"
    engine = FakeEngine(name="a", tokens=10, token_delay_s=0.02)
    async with staged(tmp_path, engine, FakeEngine(name="b")) as stage:
        retired = stage.gateway.fleet.upstreams["a"]
        async with stage.chat(stream=True) as answer:
            path.write_bytes(config_json(tmp_path, "b"))
            await reload(stage.gateway.fleet, path)
            async with stage.chat("a") as refused:
                assert refused.status == 404
            body = await answer.read()
        assert body == engine.received[0].sent
        assert body.endswith(b"data: [DONE]\n\n")
        assert retired._connections.is_closed
        assert not retired._connections._idle


async def test_a_model_that_moves_to_another_socket_is_asked_there(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    path = tmp_path / "gateway.json"
    old, new = FakeEngine(name="a"), FakeEngine(name="a")
    async with staged(tmp_path, old) as stage, running(new, tmp_path / "new" / "a.sock"):
        path.write_bytes(config_json(tmp_path / "new", "a"))
        await reload(stage.gateway.fleet, path)
        async with stage.chat() as answer:
            assert answer.status == 200
    assert (len(old.received), len(new.received)) == (0, 1)


async def test_a_bad_file_changes_nothing_but_what_stats_say(tmp_path: Path) -> None:
    path = tmp_path / "gateway.json"
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        digest = (await stage.json("/stats"))["config_digest"]
        path.write_bytes(b'{"listen": []}')
        await reload(stage.gateway.fleet, path)
        stats = await stage.json("/stats")
        assert stats["config_digest"] == digest
        assert "gateway.json: default_model: field required, got nothing. Add it." in stats["config_error"]
        async with stage.chat() as answer:
            assert answer.status == 200
        path.write_bytes(config_json(tmp_path, "a"))
        await reload(stage.gateway.fleet, path)
        assert (await stage.json("/stats"))["config_error"] is None


async def test_a_reload_under_load_loses_no_request(tmp_path: Path) -> None:
    path = tmp_path / "gateway.json"
    async with staged(tmp_path, FakeEngine(name="a"), FakeEngine(name="b")) as stage:

        async def ask() -> set[int]:
            statuses = set()
            for _ in range(30):
                async with stage.chat("a", stream=True) as answer:
                    statuses.add(answer.status)
                    assert (await answer.read()).endswith(b"data: [DONE]\n\n")
            return statuses

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        for number in range(10):
            path.write_bytes(config_json(tmp_path, "a", *["b"] * (number % 2)))
            await reload(stage.gateway.fleet, path)
        assert await asyncio.gather(*asking) == [{200}] * 4
