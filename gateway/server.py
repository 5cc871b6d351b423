"""Routes, listening, signals, and the way out: the life of one gateway process."""

import asyncio
import contextlib
import os
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from aiohttp import web

from agent import notify
from gateway import __version__, browsers, health, models, openapi, residence
from gateway.app import GATEWAY, Gateway, access_log
from gateway.config_file import ConfigError, LoadedConfig, load_config
from gateway.connection import Runner
from gateway.events import log_event, log_failure, write_log_as
from gateway.fleet import Fleet
from gateway.form import FORM_ROUTES
from gateway.keys import Keys
from gateway.listeners import BACKLOG, inherited_count, is_loopback
from gateway.ollama import catalog
from gateway.ollama.asking import ROUTES as TRANSLATED
from gateway.page import add_page
from gateway.proxy import proxy_request
from gateway.request_context import CURRENT
from gateway.routes import MODEL_ROUTES
from gateway.tenancy import Tenancy, tell_limits
from gateway.tls import ServerTls
from gateway.usage import Usage

KEEP_ALIVE_S = 75.0
"""Longer than the idle connections of the usual clients and proxies, so that they close first."""
LINGERING_S = 2.0
"""For reading the rest of a refused body, so that the client gets to see the refusal."""
READ_BYTES = 64 * 1024
"""What aiohttp reads ahead of a body, in a sixteenth as many chunks: with its default, chunks of a byte are a stall."""
LINGER_TURNS = 50
TURN_S = 0.1
"""For clients that have connected and not asked yet, or that use their connection again at once (they are told to close
it), when the address stays open in systemd's hands. Otherwise every second counts, because the next gateway needs the
address. Turns of the event loop and not seconds: on a busy machine a request may have come that it has not seen yet."""
CUT_S = 2.0
"""From cutting what is in flight to leaving all the same; above the time allowed for last words."""


def create_app(gateway: Gateway) -> web.Application:
    """Return the application. Starting and stopping it starts and closes the gateway's upstreams."""
    app = web.Application(middlewares=[access_log])
    app[GATEWAY] = gateway
    app.cleanup_ctx.append(_keep_usage)
    app.cleanup_ctx.append(_send_traces)
    app.cleanup_ctx.append(_run_fleet)
    app.on_response_prepare.append(_finish_head)
    app.router.add_get("/", health.index)
    app.router.add_get("/livez", health.livez)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/health", health.health)
    app.router.add_get("/stats", health.stats)
    app.router.add_get("/metrics", health.metrics)
    app.router.add_get("/openapi.json", openapi.answer)
    app.router.add_get("/v1/models", models.list_models)
    app.router.add_get("/v1/models/{id:.+}", models.one_model)
    add_page(app)
    app.router.add_get("/models", models.list_models)
    app.router.add_get("/experts", models.list_experts)
    app.router.add_get("/v1/realtime", models.no_realtime)
    app.router.add_get("/v1/responses/{response_id}", proxy_request)
    app.router.add_post("/v1/responses/{response_id}/cancel", proxy_request)
    residence.add_routes(app.router)
    catalog.add_routes(app.router)
    for route in (*MODEL_ROUTES, *TRANSLATED, *FORM_ROUTES):
        app.router.add_post(route, proxy_request)
    return app


async def _finish_head(request: web.Request, response: web.StreamResponse) -> None:
    """Add what every answer's head has, whatever it is: the caller's limits, and leave for the pages that may ask."""
    gateway = request.app[GATEWAY]
    tell_limits(response)
    context = CURRENT.get(None)
    if context is not None and context.protocol.id_header is not None:  # where the clients of its API look for it
        response.headers[context.protocol.id_header] = context.request_id
    response.headers.update(browsers.allowance(request.method, request.headers, gateway.fleet.config))
    if gateway.requests.is_draining:
        # Only when the head can say so: a client that was not told may be sending already.
        response.force_close()
        response.headers["Connection"] = "close"


async def _run_fleet(app: web.Application) -> AsyncIterator[None]:
    await app[GATEWAY].fleet.start()
    async with app[GATEWAY].loader.running():
        yield
    await app[GATEWAY].fleet.close()


async def _send_traces(app: web.Application) -> AsyncIterator[None]:
    traces = app[GATEWAY].traces
    sending = asyncio.create_task(traces.keep(), name="traces")
    yield
    traces.close()
    await sending


async def _keep_usage(app: web.Application) -> AsyncIterator[None]:
    usage = app[GATEWAY].tenancy.usage
    usage.recall()
    keeping = asyncio.create_task(usage.keep(), name="usage")
    yield
    usage.close()
    await keeping


def runner_of(gateway: Gateway) -> web.AppRunner:
    """Return aiohttp's runner with the settings that the gateway's promises depend on."""
    return Runner(
        create_app(gateway),
        handle_signals=False,
        handler_cancellation=True,  # a client that leaves ends its handler, which ends the engine's work
        access_log=None,
        auto_decompress=False,  # a bomb would be unpacked without a pause, and to its end after its refusal
        keepalive_timeout=KEEP_ALIVE_S,
        lingering_time=LINGERING_S,
        read_bufsize=READ_BYTES,
        shutdown_timeout=CUT_S,
    )


class Server:
    """One gateway process, from its first listening socket to its last request."""

    def __init__(
        self,
        path: Path,
        loaded: LoadedConfig,
        listeners: Sequence[socket.socket],
        keys: Path | None = None,
        usage: Path | None = None,
    ) -> None:
        """Raises agent.certificate.CertificateError where the configuration names files that are none."""
        self._path = path
        self._listeners = listeners
        tls = None if loaded.config.tls is None else ServerTls(loaded.config.tls)
        self._gateway = Gateway(Fleet(loaded), Tenancy(Keys(keys), Usage(usage)), tls=tls)
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain. A second one of them ends the drain."""
        write_log_as(self._gateway.fleet.config.log_format)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)
        runner = runner_of(self._gateway)
        await runner.setup()
        sites = [
            web.SockSite(runner, listener, backlog=BACKLOG, ssl_context=spoken_on(listener, self._gateway.tls))
            for listener in self._listeners
        ]
        for site in sites:
            await site.start()
        addresses = ",".join(f"{host}:{port}" for host, port, *_ in runner.addresses)
        log_event("gateway.listening", addresses=addresses, version=__version__)
        vouching = asyncio.create_task(self._vouch(), name="vouch")
        reloading = asyncio.create_task(self._reload_on_signal(), name="reload")
        await self._stop.wait()
        await asyncio.to_thread(notify.send, "STOPPING=1")
        reloading.cancel()
        await asyncio.wait([reloading])
        await stop_accepting(sites, self._listeners)
        await self._drain(runner)
        await runner.cleanup()
        vouching.cancel()
        log_event("gateway.stopped")

    async def _vouch(self) -> None:
        """Tell systemd that this serves, once every engine was looked at, and from then on that its loop turns."""
        await self._gateway.fleet.looked_around()
        await asyncio.to_thread(notify.send, "READY=1\nSTATUS=serving")  # systemd may be busy, and this may not
        period_s = notify.watchdog_period_s(os.environ, os.getpid())
        while period_s is not None:
            await asyncio.to_thread(notify.send, "WATCHDOG=1")
            await asyncio.sleep(period_s / 3)

    def _on_stop(self) -> None:
        (self._stop_now if self._stop.is_set() else self._stop).set()

    async def _drain(self, runner: web.AppRunner) -> None:
        requests = self._gateway.requests
        requests.is_draining = True
        drain_s = self._gateway.fleet.config.timeouts.drain_s
        log_event("gateway.draining", in_flight=len(requests), drain_s=drain_s)
        idle = asyncio.create_task(self._quiet(runner, drain_s))
        hurry = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait([idle, hurry], return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        hurry.cancel()
        if len(requests):
            log_event("gateway.cutting", in_flight=len(requests))
            requests.cut_all()
            await requests.wait_idle(CUT_S)

    async def _quiet(self, runner: web.AppRunner, seconds: float) -> None:
        """Wait until nothing is in flight, and nothing comes any more over connections that are open."""
        requests, turns = self._gateway.requests, 0
        linger_turns = LINGER_TURNS if inherited_count(os.environ, os.getpid()) else 1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while len(requests) or (turns < linger_turns and runner.server and runner.server.connections):
                    begun = requests.begun
                    await requests.wait_idle(seconds)
                    await asyncio.sleep(TURN_S)
                    turns = turns + 1 if requests.begun == begun else 0

    async def _reload_on_signal(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            try:
                await reload(self._gateway.fleet, self._path)
                write_log_as(self._gateway.fleet.config.log_format)
                files = self._gateway.fleet.config.tls
                if files is not None and self._gateway.tls is not None:
                    self._gateway.tls.renew(files)
            except Exception:  # the next signal must find somebody listening
                log_failure("gateway.reload_failed")


def spoken_on(listener: socket.socket, tls: ServerTls | None) -> ssl.SSLContext | None:
    """Return what TLS is spoken with on an address; None on the host's own, where probes and `fab` ask."""
    return None if tls is None or is_loopback(listener.getsockname()[0]) else tls.context


async def stop_accepting(sites: Sequence[web.SockSite], listeners: Sequence[socket.socket]) -> None:
    """Leave new connections to others. One that asyncio accepts in this very turn would be dropped with its server."""
    for listener in listeners:
        asyncio.get_running_loop().remove_reader(listener)
    await asyncio.sleep(0)
    for site in sites:
        await site.stop()


async def reload(fleet: Fleet, path: Path) -> None:
    """Adopt what the file says now; a file that cannot be used changes nothing but what /stats says about it."""
    try:
        loaded = load_config(path)
    except ConfigError as error:
        fleet.config_error = str(error)
        for problem in error.problems:
            log_event("gateway.reload_refused", problem=problem)
        return
    await fleet.adopt(loaded)
