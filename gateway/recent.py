"""The last requests that were answered, for people who look: what the access log says of each, and no more."""

import time
from collections import deque

from gateway.request_context import RequestContext
from gateway.routes import QUIET_ROUTES

KEPT = 200


class RecentRequests:
    """A bounded list, newest first."""

    def __init__(self) -> None:
        self._kept: deque[dict[str, object]] = deque(maxlen=KEPT)

    def add(self, context: RequestContext) -> None:
        """Keep a finished request; what machines ask every few seconds is not worth a line."""
        if context.route in QUIET_ROUTES:
            return
        self._kept.appendleft(
            {
                "id": context.request_id,
                "caller": context.caller,
                "ended_at": round(time.time(), 3),
                "route": context.route,
                "model": context.served or context.model,
                "status": context.status,
                "error": context.error,
                "first_byte_s": context.ttfb_s,
                "duration_s": context.duration_s,
                "bytes": context.bytes_sent,
            }
        )

    def of(self, caller: str) -> list[dict[str, object]]:
        """Return a caller's own; all where nobody is told apart."""
        return [each for each in self._kept if not caller or each["caller"] == caller]
