"""`python -m gateway --config gateway.json`: serve until told to stop."""

import argparse
import asyncio
import importlib
import sys
from collections.abc import Callable
from pathlib import Path

from agent.certificate import CertificateError
from gateway import __version__
from gateway.config import Listen
from gateway.config_file import ConfigError, load_config
from gateway.events import log_to_stderr
from gateway.listeners import ListenError, open_listeners, refuse_open
from gateway.server import Server


def main(arguments: list[str] | None = None) -> int:
    """Run the gateway and return its exit code."""
    args = _parser().parse_args(arguments)
    log_to_stderr(args.log_level)
    try:
        loaded = load_config(args.config)
        if args.check:
            return 0
        addresses = _addresses(loaded.config.listen, args.host, args.port)
        listeners = open_listeners(addresses, must_inherit=args.inherit)
        if args.keys is None and not loaded.config.open:
            refuse_open(listener.getsockname()[0] for listener in listeners)
        server = Server(args.config, loaded, listeners, args.keys, args.usage)
    except (ConfigError, ListenError, CertificateError) as error:
        print(error, file=sys.stderr)
        return 1
    with asyncio.Runner(loop_factory=_loop_factory()) as loop:
        loop.run(server.run())
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway", description="Serve several vLLM engines at one OpenAI address.")
    parser.add_argument("--config", type=Path, required=True, help="gateway.json, read again on SIGHUP")
    parser.add_argument("--check", action="store_true", help="read the configuration and end: 1 if it is refused")
    parser.add_argument("--host", help="listen here instead of where the file says")
    parser.add_argument("--port", type=int, help="listen here instead of where the file says; 0 lets the system choose")
    parser.add_argument("--inherit", action="store_true", help="listen on systemd's sockets or end: never on others")
    parser.add_argument("--keys", type=Path, help="a file with the keys that clients must send, one a line")
    parser.add_argument("--usage", type=Path, help="the directory in which each key's usage is kept")
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    parser.add_argument("--version", action="version", version=__version__)
    return parser


def _addresses(configured: tuple[Listen, ...], host: str | None, port: int | None) -> tuple[Listen, ...]:
    if host is None and port is None:
        return configured
    first = configured[0]
    return (Listen(host=first.host if host is None else host, port=first.port if port is None else port),)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        uvloop = importlib.import_module("uvloop")
    except ModuleNotFoundError:  # optional: faster, not different
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


if __name__ == "__main__":
    sys.exit(main())
