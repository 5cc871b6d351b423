"""Ollama's errors: one sentence, as a body or as a line of a stream."""

import json
from typing import Any

from gateway.errors import ApiError
from gateway.protocols.api import ApiProtocol, reason_in


class Ollama(ApiProtocol):
    """/api/*. Its streams are translated (gateway/ollama), so that only refusals are told here."""

    def envelope(self, error: ApiError, request_id: str) -> dict[str, Any]:
        return {"error": error.message}

    def refusal(self, status: int, body: bytes, request_id: str) -> bytes:
        return json.dumps({"error": reason_in(body)}).encode()


OLLAMA = Ollama()
