"""aiohttp's server with our words: whatever it refuses before or beside the handlers is told in the error envelope."""

import asyncio
from typing import Any

from aiohttp import HttpVersion10, HttpVersion11, web
from aiohttp.http_exceptions import BadHttpMessage, LineTooLong
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo

from gateway.errors import ApiError, bad_http, headers_too_large, internal_error, refused_by_http, url_too_long
from gateway.events import log_event
from gateway.headers import request_id_of

URL_BYTES = 16 * 1024
HEADER_BYTES = 32 * 1024
"""Of one header. Browsers send all cookies of a host in one, and 16 KiB of them are not rare on localhost."""
TURN_BYTES = 64 * 1024
"""What is parsed in one turn of the loop. In the 250 KiB that a loop takes at once there is room for 43,000 chunks of a
byte, and a parser's call for each of them holds up everybody for 70 ms."""
TOO_MANY_HEADERS = "Too many headers"


class Connection(RequestHandler):
    """One client's connection."""

    __slots__ = ("_is_held", "_rest", "_turn")

    def __init__(self, manager: web.Server, **settings: Any) -> None:
        super().__init__(manager, **settings)
        self._rest = b""
        """What came and is not parsed yet. Nothing more is read while there is some."""
        self._is_held = False
        """Whether reading is paused for that."""
        self._turn: asyncio.Handle | None = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget what was not parsed."""
        self._rest = b""
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, in turns. Without data, aiohttp has the parser go on where it was paused."""
        if not data:
            self._parse(data)
            return
        self._rest += data
        if not self._is_held:
            self._take_turn()

    def _take_turn(self) -> None:
        self._turn = None
        piece, self._rest = self._rest[:TURN_BYTES], self._rest[TURN_BYTES:]
        self._parse(piece)
        if self._rest and self.transport is not None:
            self._is_held = True
            self._pause_transport_reading()
        elif self._is_held:
            self._is_held = False
        else:
            return
        if not self._reading_paused and not self._buffer_paused:
            self._resume_transport_reading()

    def _resume_transport_reading(self) -> None:
        """Go on: with what is here already, and only then with what comes."""
        if not self._is_held:
            super()._resume_transport_reading()
        elif self._turn is None:
            self._turn = self._loop.call_soon(self._take_turn)

    def _parse(self, data: bytes) -> None:
        """A handler that waits for the rest of a body that cannot be parsed is told so."""
        super().data_received(data)
        if self._current_request is not None and self._messages and isinstance(self._messages[-1][0], _ErrInfo):
            self._current_request._cancel(RequestPayloadError("bytes that are no HTTP"))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what the parser refused, and what a bug outside the application left. It closes the connection."""
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer has gone out")
        request._version = HttpVersion11  # that of a request that cannot be parsed is made up
        return self._told(request, refusal_of(exc) if status < 500 else internal_error())

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send an answer; one that aiohttp made by itself, of an unknown Expect say, in our words."""
        if isinstance(resp, web.HTTPException):
            resp = self._told(request, refused_by_http(resp.status))
        return await super().finish_response(request, resp, start_time)

    def _told(self, request: web.BaseRequest, refusal: ApiError) -> web.Response:
        request_id = request_id_of(None)
        log_event("request.refused", request_id=request_id, status=refusal.status, error=refusal.code)
        response = refusal.response(refusal.envelope())
        response.headers["X-Request-Id"] = request_id
        response.force_close()
        return response


def refusal_of(error: BaseException | None) -> ApiError:
    """Say what is wrong with bytes that are no request, without a word of them: they may hold a key."""
    if isinstance(error, LineTooLong):
        return url_too_long(URL_BYTES) if error.args[1] == URL_BYTES else headers_too_large(HEADER_BYTES)
    if isinstance(error, BadHttpMessage) and error.message.startswith(TOO_MANY_HEADERS):
        return headers_too_large(HEADER_BYTES)
    return bad_http()


class _Server(web.Server):
    def __init__(self, made: web.Server, **settings: Any) -> None:
        super().__init__(made.request_handler, loop=made._loop, **made._kwargs, **settings)
        self.handler_cancellation = made.handler_cancellation
        self._made = made
        self.request_factory = self._request

    def _request(self, *parts: Any) -> web.BaseRequest:
        """Make a request. Whoever claims HTTP/0.9 or HTTP/2.0 in a first line of HTTP/1 is answered in HTTP/1.1."""
        request = self._made.request_factory(*parts)
        if request._version not in (HttpVersion10, HttpVersion11):
            request._version = HttpVersion11
        return request

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)


class Runner(web.AppRunner):
    """aiohttp's runner of an application, with connections of ours."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made, max_line_size=URL_BYTES, max_field_size=HEADER_BYTES)
