"""Ollama's errors: one sentence, as a body or as a line of a stream."""

import json

from gateway.errors import ApiError
from gateway.protocols.api import ApiProtocol, reason_in


class Ollama(ApiProtocol):
    """/api/*. Its streams are translated (gateway/ollama), so that only refusals are told here."""

    def envelope(self, error: ApiError, request_id: str) -> bytes:
        return _told(error.message)

    def refusal(self, status: int, body: bytes, request_id: str) -> bytes:
        return _told(reason_in(body))


def _told(message: str) -> bytes:
    return json.dumps({"error": message}).encode()


OLLAMA = Ollama()
