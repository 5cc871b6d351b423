"""Is it alive, is it ready, what does it know: the answers for monitors and for people with curl."""

import asyncio
import os
import time

from aiohttp import web

from gateway import __version__
from gateway.gateway import GATEWAY, Gateway
from gateway.release import UNIT_DIGEST
from gateway.stats import process_rss_bytes, ram_usage_percent

NAME = "axion-gateway"


async def livez(request: web.Request) -> web.Response:
    """The process answers; nothing else is claimed."""
    return web.json_response({"status": "alive"})


async def readyz(request: web.Request) -> web.Response:
    """Whether to send requests here: at least one model is ready, and the gateway is not stopping."""
    gateway = request.app[GATEWAY]
    if gateway.is_ready:
        return web.json_response({"status": "ready"})
    reason = "draining" if gateway.exchanges.is_draining else "no model is ready"
    return web.json_response({"status": "not ready", "reason": reason}, status=503)


async def health(request: web.Request) -> web.Response:
    """The overview that clients of earlier servers ask for; unlike theirs it is 503 when nothing can be served."""
    gateway = request.app[GATEWAY]
    states = _states(gateway)
    ready = len(gateway.fleet.ready_models())
    status = "unhealthy" if not ready else "healthy" if ready == len(states) else "degraded"
    return web.json_response({"status": status, **_counts(gateway), "models": states}, status=200 if ready else 503)


async def index(request: web.Request) -> web.Response:
    """Who answers here."""
    return web.json_response({"name": NAME, "version": __version__, **_counts(request.app[GATEWAY])})


async def metrics(request: web.Request) -> web.Response:
    """Prometheus' scrape target."""
    gateway = request.app[GATEWAY]
    body = gateway.metrics.exposition(gateway.fleet.upstreams.values(), gateway.stats)
    return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})


async def stats(request: web.Request) -> web.Response:
    """Figures for people, a superset of what earlier servers showed."""
    gateway = request.app[GATEWAY]
    fleet = gateway.fleet
    now = asyncio.get_running_loop().time()
    models = {
        name: {
            "state": upstream.state,
            "since": round(time.time() - (now - upstream.since), 3),
            "last_error": upstream.last_error,
            **gateway.stats.of(name).figures(),
        }
        for name, upstream in fleet.upstreams.items()
    }
    return web.json_response(
        {
            "models_loaded": fleet.ready_models(),
            "models_available": list(fleet.upstreams),
            "config": _config(gateway),
            "config_digest": fleet.digest,
            "config_error": fleet.config_error,
            "unit_digest": UNIT_DIGEST,
            "pid": os.getpid(),
            "version": __version__,
            "uptime_s": round(time.monotonic() - gateway.started, 3),
            "is_draining": gateway.exchanges.is_draining,
            "rss_bytes": process_rss_bytes(),
            "ram_usage_percent": ram_usage_percent(),
            "models": models,
        }
    )


def _states(gateway: Gateway) -> dict[str, str]:
    return {name: upstream.state for name, upstream in gateway.fleet.upstreams.items()}


def _counts(gateway: Gateway) -> dict[str, int]:
    return {"models_loaded": len(gateway.fleet.ready_models()), "models_available": len(gateway.fleet.upstreams)}


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
        "lazy_loading": {"enabled": False},
    }
