"""Is it alive, is it ready, what does it know: the answers for monitors and for people with curl."""

import asyncio
import os
import time
from pathlib import Path

from aiohttp import web

from agent.running import GatewayStats, KeysStats, OnDemandStats, TlsStats
from gateway import __version__
from gateway.app import GATEWAY, Gateway
from gateway.exposition import merged
from gateway.release import UNIT_DIGEST

NAME = "axion-gateway"


async def livez(request: web.Request) -> web.Response:
    """The process answers; nothing else is claimed."""
    return web.json_response({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    """Whether to send requests here: at least one model is ready, and the gateway is not stopping."""
    gateway = request.app[GATEWAY]
    if gateway.is_ready:
        return web.json_response({"status": "ready"})
    reason = "draining" if gateway.requests.is_draining else "no model is ready"
    return web.json_response({"status": "not ready", "reason": reason}, status=503)


async def health(request: web.Request) -> web.Response:
    """The overview that clients of earlier servers ask for; unlike theirs it is 503 when nothing can be served."""
    gateway = request.app[GATEWAY]
    states = {name: upstream.told_state for name, upstream in gateway.fleet.upstreams.items()}
    ready = len(gateway.fleet.servable_models())
    status = "unhealthy" if not ready else "healthy" if ready == len(states) else "degraded"
    told = {"status": status, **_counts(gateway), "models": states, **_older(gateway)}
    return web.json_response(told, status=200 if ready else 503)


async def index(request: web.Request) -> web.Response:
    """Who answers here."""
    return web.json_response({"name": NAME, "version": __version__, **_counts(request.app[GATEWAY])})


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' scrape target: what is counted here, and what each engine says of itself."""
    gateway = request.app[GATEWAY]
    upstreams = tuple(gateway.fleet.upstreams.values())
    pages = await asyncio.gather(*(upstream.metrics_page() for upstream in upstreams))
    said = {upstream.name: page for upstream, page in zip(upstreams, pages, strict=True) if page is not None}
    own = gateway.metrics.exposition(upstreams, gateway.requests, said, gateway.loader.roster)
    body = await asyncio.to_thread(merged, own, said)  # tens of milliseconds, in which streams go on
    return web.Response(text=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def stats(request: web.Request) -> web.Response:
    """Figures for people, and for who deploys."""
    gateway = request.app[GATEWAY]
    fleet = gateway.fleet
    found = GatewayStats(
        models_loaded=tuple(fleet.ready_models()),
        models_available=tuple(fleet.upstreams),
        config=_config(gateway),
        config_digest=fleet.digest,
        config_error=fleet.config_error,
        unit_digest=UNIT_DIGEST,
        pid=os.getpid(),
        version=__version__,
        uptime_s=round(time.monotonic() - gateway.started, 3),
        is_draining=gateway.requests.is_draining,
        rss_bytes=_rss_bytes(),
        ram_usage_percent=_ram_usage_percent(),
        router_stats={"num_experts": len(fleet.upstreams)},
        lazy_loading={"enabled": bool(gateway.loader.roster.residents), "total_experts": len(fleet.upstreams)},
        models={name: gateway.metrics.stats(each, gateway.requests) for name, each in fleet.upstreams.items()},
        keys=_keys(gateway),
        on_demand=_on_demand(gateway),
        tls=None if gateway.tls is None else TlsStats(ends_s=gateway.tls.ends_s, error=gateway.tls.error),
    )
    return web.json_response(text=found.to_json())


def _on_demand(gateway: Gateway) -> OnDemandStats | None:
    roster = gateway.loader.roster
    return OnDemandStats(loaded_bytes=roster.used_bytes, budget_bytes=roster.budget_bytes) if roster.residents else None


def _keys(gateway: Gateway) -> KeysStats | None:
    keys, usage = gateway.tenancy.keys, gateway.tenancy.usage
    keys.look()
    if keys.count is None:
        return None
    unserved = keys.unserved(gateway.fleet.registry.owner)
    return KeysStats(count=keys.count, error=keys.error, usage_error=usage.error, unserved=unserved)


def _counts(gateway: Gateway) -> dict[str, int]:
    return {"models_loaded": len(gateway.fleet.ready_models()), "models_available": len(gateway.fleet.upstreams)}


def _older(gateway: Gateway) -> dict[str, object]:
    """Return what the variants of earlier servers told beside: with another meaning of `ready`, all of it true."""
    return {
        "routing_enabled": gateway.fleet.config.routing is not None,
        "consensus_enabled": False,
        "orchestrator_ready": gateway.is_ready,
        "experts_ready": len(gateway.fleet.ready_models()),
        "ram_usage_percent": _ram_usage_percent(),
    }


def _config(gateway: Gateway) -> dict[str, object]:
    """Return the configuration without paths, and the switches that earlier servers reported."""
    config = gateway.fleet.config
    return {
        "default_model": config.default_model,
        "max_body_bytes": config.max_body_bytes,
        "timeouts": config.timeouts.model_dump(),
        "server": config.listen[0].model_dump(),
        "streaming_enabled": True,
        "consensus_enabled": False,
        "lazy_loading": {"enabled": config.memory is not None},
    }


def _rss_bytes() -> int:
    """the resident memory of this process."""
    return _kib(Path("/proc/self/status"), "VmRSS") * 1024


def _ram_usage_percent() -> float:
    """how much of the machine's memory is in use, as clients of earlier servers read it."""
    memory = Path("/proc/meminfo")
    total = _kib(memory, "MemTotal")
    return round(100 * (1 - _kib(memory, "MemAvailable") / total), 1) if total else 0.0


def _kib(table: Path, key: str) -> int:
    try:
        lines = table.read_text().splitlines()
    except OSError:  # not Linux
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), 0)
