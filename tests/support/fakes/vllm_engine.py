"""A stand-in for the `vllm` program of an engine environment: its command line, its process tree, its answers.

A checkpoint directs it by a file `stand_in.json` (see Behaviour), so that a failure belongs to a release as a broken
checkpoint or a wrong argument would.
"""

import importlib.metadata
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from tests.support.fakes.engine import FakeEngine
from tests.support.fakes.vllm_tree import run_core

DIRECTIONS = "stand_in.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """What a checkpoint makes of an engine."""

    exit: int | None = None
    """End with this code while loading."""
    says: str = ""
    load_s: float = 0.0
    """Until the socket accepts."""
    token_delay_s: float = 0.0
    error: str = ""
    """Answer every prompt with 500 and these words."""
    token: str | None = None
    """What it says again and again, instead of its name."""

    @classmethod
    def of(cls, checkpoint: Path) -> "Behaviour":
        try:
            return cls(**json.loads((checkpoint / DIRECTIONS).read_text()))
        except FileNotFoundError:
            return cls()


def serve(arguments: dict[str, Any]) -> int:
    """Load, answer until SIGTERM, and take the rest of the tree down, as vLLM does."""
    behaviour = Behaviour.of(Path(arguments["model"]))
    (name,) = arguments["served-model-name"]
    print(f"stand-in: loading {name} from {arguments['model']}", flush=True)
    if behaviour.exit is not None:
        print(behaviour.says, file=sys.stderr, flush=True)
        return behaviour.exit
    read, write = os.pipe()
    core = os.fork()
    if core == 0:
        run_core(write)
    worker = int(os.read(read, 32))
    time.sleep(behaviour.load_s)
    token = f"{name} " if behaviour.token is None else behaviour.token
    engine = FakeEngine(name=name, token=token, max_model_len=arguments["max-model-len"])
    engine.token_delay_s = behaviour.token_delay_s
    app = engine.app()
    if behaviour.error:
        app.middlewares.append(_refusing(behaviour.error))
    web.run_app(app, path=arguments["uds"], access_log=None, handler_cancellation=True, shutdown_timeout=5.0)
    for pid in (worker, core):
        os.kill(pid, signal.SIGKILL)
    return 0


def _refusing(message: str) -> Any:
    @web.middleware
    async def refuse(request: web.Request, handler: Any) -> Any:
        if request.method == "POST":
            error = {"message": message, "type": "InternalServerError", "param": None, "code": 500}
            return web.json_response({"error": error}, status=500)
        return await handler(request)

    return refuse


def main() -> int:
    """Understand the two command lines that a deployment uses."""
    match sys.argv[1:]:
        case ["--version"]:
            print(importlib.metadata.version("vllm"))
            return 0
        case ["serve", "--config", file]:
            return serve(yaml.safe_load(Path(file).read_text()))
        case words:
            print(f"stand-in: not a known command line: {words}", file=sys.stderr)
            return 2
