"""An OpenTelemetry collector on a Unix socket, which takes what the published protocol takes and nothing else.

Judged by OpenTelemetry's own messages (opentelemetry-proto). What it cannot show: a collector's queues and exporters.
"""

import base64
import contextlib
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

# OTLP's JSON has these in hexadecimal, where protobuf's own would have base64.
IDS = {"traceId": 32, "spanId": 16, "parentSpanId": 16}


@dataclass
class Collector:
    """What came, and how it answers."""

    status: int = 200
    requests: list[str] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        """POST /v1/traces."""
        text = await request.text()
        self.requests.append(text)
        if self.status != 200:
            return web.Response(status=self.status)
        if request.headers.get("Content-Type") != "application/json":
            return web.Response(status=415)
        try:
            document = json.loads(text)
            json_format.ParseDict(_with_base64(document), ExportTraceServiceRequest())
        except (ValueError, json_format.ParseError) as error:
            return web.Response(status=400, text=str(error))
        for resource in document["resourceSpans"]:
            self.resources.append(values(resource["resource"]["attributes"]))
            self.spans += [span for scope in resource["scopeSpans"] for span in scope["spans"]]
        return web.json_response({"partialSuccess": {}})


def values(attributes: list[dict[str, Any]]) -> dict[str, Any]:
    """Return attributes by their keys, whole numbers as such."""
    found = {}
    for each in attributes:
        ((kind, value),) = each["value"].items()
        found[each["key"]] = int(value) if kind == "intValue" else value
    return found


def _with_base64(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_base64(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: _id(key, each) if key in IDS else _with_base64(each) for key, each in value.items()}


def _id(key: str, value: str) -> str:
    if not re.fullmatch(rf"[0-9a-f]{{{IDS[key]}}}", value) or not int(value, 16):
        raise ValueError(f"{key}: no id, got {value}")
    return base64.b64encode(bytes.fromhex(value)).decode()


@contextlib.asynccontextmanager
async def collecting(socket: Path, collector: Collector) -> AsyncIterator[None]:
    """Have it listen for the length of a block."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/traces", collector.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(socket)).start()
    try:
        yield
    finally:
        await runner.cleanup()
        socket.unlink(missing_ok=True)
