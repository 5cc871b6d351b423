"""Taking a request's body from its client: how large, how slow and in which encoding it may come, and all of them."""

import asyncio
from collections.abc import Callable

import aiohttp
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from gateway.config import MIB, GatewayConfig
from gateway.content_encoding import ACCEPTED, PIECE_BYTES, Decoder, EncodingError
from gateway.errors import (
    bad_request,
    bodies_full,
    body_too_large,
    request_timed_out,
    unsupported_content_encoding,
    unsupported_content_type,
)
from gateway.request_context import RequestContext, RequestsInFlight

IDLE_S = 20.0
"""Without a byte of the body: a mobile network's handover takes a few seconds, and who is gone is gone."""
BODIES_BYTES = 256 * MIB
"""All bodies in flight: eight of the largest by default. A body is held until its answer ends, and is held twice while
it is sent; all of it must stay well below MemoryMax of gateway.service."""
BOM = b"\xef\xbb\xbf"


async def take_body(
    request: web.Request,
    context: RequestContext,
    requests: RequestsInFlight,
    config: GatewayConfig,
    *,
    is_form: bool = False,
) -> bytes:
    """Return the decoded body, counted as held until the request ends. Raises ApiError, before it holds too much."""
    _refuse_by_head(request, config.max_body_bytes, is_form=is_form)
    bound = max(BODIES_BYTES, config.max_body_bytes)
    if requests.body_bytes + (request.content_length or 0) > bound:
        raise bodies_full()

    def hold(piece: bytes) -> None:
        if context.body_bytes + len(piece) > config.max_body_bytes:
            raise body_too_large(config.max_body_bytes)
        if requests.body_bytes + len(piece) > bound:
            raise bodies_full()
        requests.hold_body(context, len(piece))

    try:
        body = await _read(request, hold, config.timeouts.body_s)
    except TimeoutError as error:
        raise request_timed_out() from error
    except (aiohttp.ClientPayloadError, RequestPayloadError, EncodingError) as error:
        raise bad_request("The request body broke off or is encoded wrongly. Send it again.", close=True) from error
    # RFC 8259 section 8.1 allows the mark to whoever reads, and to nobody who writes.
    return body if is_form else body.removeprefix(BOM)


async def _read(request: web.Request, hold: Callable[[bytes], None], body_s: float) -> bytes:
    """Return the decoded body, each piece of which was held before the next one is taken."""
    content, encoding = request.content, _encoding(request)
    if content.is_eof() and encoding not in ACCEPTED:  # it came with its head, as most do: there is nothing to wait for
        body = content.read_nowait()
        hold(body)
        return body
    loop = asyncio.get_running_loop()
    end = loop.time() + body_s
    decoder = Decoder(encoding)
    # Bytes objects of two bytes each would be thirty times as large, and bytearrays that grow side by side leave holes.
    pieces: list[bytes] = []
    last = bytearray()
    async with asyncio.timeout_at(min(end, loop.time() + IDLE_S)) as limit:
        while packed := await content.readany():
            limit.reschedule(min(end, loop.time() + IDLE_S))
            for piece in decoder.feed(packed):
                hold(piece)
                last += piece
                if len(last) >= PIECE_BYTES:
                    pieces.append(bytes(last))
                    last.clear()
                    await asyncio.sleep(0)  # what is here already comes without a wait in which others could run
        decoder.finish()
    return b"".join((*pieces, last))


def _encoding(request: web.Request) -> str:
    return request.headers.get("Content-Encoding", "").strip().lower()


def _refuse_by_head(request: web.Request, limit_bytes: int, *, is_form: bool) -> None:
    if request.can_read_body and not is_form and not is_json(request.headers.get("Content-Type")):
        raise unsupported_content_type()
    if _encoding(request) not in ("", "identity", *ACCEPTED):
        raise unsupported_content_encoding()
    if (request.content_length or 0) > limit_bytes:
        raise body_too_large(limit_bytes)


def is_json(content_type: str | None) -> bool:
    """Whether a body may be JSON by its header. Without one it may: only what a web page can send unasked must not."""
    if content_type is None:
        return True
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))
