"""The key `performance` that clients of earlier servers read in a whole answer."""

import json
import re

MEASURED_ROUTES = frozenset({"/v1/chat/completions", "/v1/completions"})
TAIL_BYTES = 4096
"""Where engines write the counts, behind the text."""
_COUNT = re.compile(rb'"completion_tokens":\s*(\d+)')
"""It cannot match within a text of the model, where quotation marks are escaped."""


def with_performance(body: bytes, seconds: float) -> bytes:
    """Return an engine's answer with how long it took and how fast it was, and every other byte as it was.

    What is no JSON object with a count of tokens is returned as it is.
    """
    end = body.rfind(b"}")
    counts = _COUNT.findall(body[-TAIL_BYTES:])
    if not counts or not body.lstrip().startswith(b"{") or body[end + 1 :].strip() or b'"performance"' in body:
        return body
    rate = int(counts[-1]) / seconds if seconds > 0 else 0.0
    figures = {"generation_time": round(seconds, 3), "tokens_per_second": round(rate, 2)}
    return b'%s,"performance":%s%s' % (body[:end].rstrip(), json.dumps(figures).encode(), body[end:])
