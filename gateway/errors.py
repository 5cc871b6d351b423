"""Errors as OpenAI's clients expect them: one envelope, a stable code, and Retry-After where waiting helps."""

import json
from collections.abc import Iterable
from reprlib import Repr

from aiohttp import web

LOADING_RETRY_S = 5
"""Engines load for tens of seconds; a shorter hint only makes clients ask more often."""
UNLOADED_RETRY_S = 30
"""For a model on demand that waits for memory: a large one leaves within minutes, not seconds."""
BRIEF_RETRY_S = 1
"""For a gateway that is being replaced: its successor is listening already, or will be at once."""
SHOWN_CHARS = 80
ENGINE_REFUSED = "engine_refused"

_SHORT = Repr()
"""Of what a client sent, however large and however deep, in no time."""
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = SHOWN_CHARS
_SHORT.maxlist = _SHORT.maxdict = SHOWN_CHARS // 2
REASON_CHARS = 1000


class ApiError(Exception):
    """A refusal that the client is told about. Raised anywhere below the application, answered at its edge."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: int | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.close = close
        self.headers: dict[str, str] = {}

    @property
    def type(self) -> str:
        """OpenAI's coarse class of an error: the caller's mistake or the server's trouble."""
        if self.status == 429:
            return "rate_limit_error"
        return "invalid_request_error" if self.status < 500 else "server_error"

    def envelope(self) -> bytes:
        """Return OpenAI's error object in JSON."""
        told = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return json.dumps({"error": told}).encode()

    def response(self, envelope: bytes) -> web.Response:
        """Return the whole HTTP answer with the body that the client's API has for it."""
        response = web.Response(
            status=self.status,
            body=envelope,
            content_type="application/json",
            headers=self.headers,
        )
        if self.retry_after_s is not None:
            response.headers["Retry-After"] = str(self.retry_after_s)
        if self.status == 401:  # RFC 9110 section 15.5.2
            response.headers["WWW-Authenticate"] = "Bearer"
        if self.close:
            response.force_close()
        return response


class EngineLeavingError(Exception):
    """An engine did not begin to answer because it is ending; `refusal` is what to tell if nothing comes after it."""

    def __init__(self, refusal: ApiError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


def shown(value: object) -> str:
    """Return a short printable form of what a client sent, so that a message cannot be flooded or forged."""
    text = repr(value[:SHOWN_CHARS]) if isinstance(value, str) else _SHORT.repr(value)
    return text if len(text) <= SHOWN_CHARS else text[: SHOWN_CHARS - 3] + "..."


def bad_request(message: str, *, param: str | None = None, close: bool = False) -> ApiError:
    """The body cannot be understood."""
    return ApiError(400, "invalid_request", message, param=param, close=close)


def wrong_key(*, is_given: bool) -> ApiError:
    """No key, or one that is none of ours; the connection ends, for a body that is not wanted may follow."""
    what = "Incorrect API key provided." if is_given else "You did not provide an API key."
    message = f"{what} Send one that the operator of this server gave you, as `Authorization: Bearer KEY`."
    return ApiError(401, "invalid_api_key", message, close=True)


def keys_missing() -> ApiError:
    """Keys are asked for, and the gateway has not got them yet."""
    message = "The server cannot check keys at present. Ask again in a moment."
    return ApiError(503, "keys_unavailable", message, retry_after_s=LOADING_RETRY_S, close=True)


def model_not_allowed(asked: str, allowed: Iterable[str]) -> ApiError:
    """The key is right, and not for this model."""
    message = f"This API key may not use the model {shown(asked)}. It may use: {', '.join(allowed) or 'none'}."
    return ApiError(403, "model_not_allowed", message, param="model")


def too_many_requests(per_minute: int, retry_after_s: int) -> ApiError:
    """The caller's requests come faster than its key allows."""
    message = f"This API key may send {per_minute} requests a minute. Ask again in {retry_after_s} s."
    return ApiError(429, "rate_limit_exceeded", message, retry_after_s=retry_after_s)


def too_many_tokens(per_day: int, retry_after_s: int) -> ApiError:
    """The caller has used up its day."""
    message = f"This API key may use {per_day} tokens a day, and has. The next day begins in {retry_after_s} s (UTC)."
    return ApiError(429, "insufficient_quota", message, retry_after_s=retry_after_s)


def body_too_large(limit_bytes: int) -> ApiError:
    """The rest of the body is left unread, hence the connection cannot be used again."""
    return ApiError(
        413, "request_too_large", f"The request body is larger than {limit_bytes} bytes. Send less.", close=True
    )


def foreign_host() -> ApiError:
    """A web page whose name was made to point here, or a proxy that nobody told of (RFC 9110 section 15.5.20)."""
    message = (
        "The Host of the request is not this server. Ask for localhost, or have its operator add it to gateway.hosts."
    )
    return ApiError(421, "misdirected_request", message, close=True)


def foreign_origin() -> ApiError:
    """A web page of another origin."""
    message = "Web pages of this Origin may not use this server. Its operator can add it to gateway.cors_origins."
    return ApiError(403, "origin_not_allowed", message, close=True)


def bad_http() -> ApiError:
    """Bytes that are no request."""
    return ApiError(400, "invalid_http", "The request is not valid HTTP/1.1. Correct it.", close=True)


def url_too_long(limit_bytes: int) -> ApiError:
    """The first line of the request."""
    return ApiError(414, "url_too_long", f"The URL is longer than {limit_bytes} bytes. Send less.", close=True)


def headers_too_large(limit_bytes: int) -> ApiError:
    """A header that is too long, or too many of them."""
    message = f"A header is longer than {limit_bytes} bytes, or there are too many. Send less, such as fewer cookies."
    return ApiError(431, "headers_too_large", message, close=True)


def refused_by_http(status: int) -> ApiError:
    """What the HTTP server refuses by itself, such as an Expect that it does not know."""
    return ApiError(status, "invalid_http", "The server cannot do what the headers of the request ask for.", close=True)


def internal_error() -> ApiError:
    """A bug of ours."""
    return ApiError(500, "internal_error", "The gateway failed on this request. Report its X-Request-Id.")


def bodies_full() -> ApiError:
    """One body more would be more memory than all of them may take."""
    message = "The server holds as many large requests as it can at present. Ask again in a moment."
    return ApiError(503, "server_busy", message, retry_after_s=LOADING_RETRY_S, close=True)


def unsupported_content_type() -> ApiError:
    """A web page can send a form or text to any address unasked; JSON it cannot."""
    message = "The Content-Type of the request is not JSON. Send the header `Content-Type: application/json`."
    return ApiError(415, "unsupported_media_type", message, close=True)


def unsupported_content_encoding() -> ApiError:
    """A body in an encoding that nobody here can undo."""
    message = "The Content-Encoding of the request is not supported. Send the body as it is, or in gzip or deflate."
    refusal = ApiError(415, "unsupported_encoding", message, close=True)
    refusal.headers["Accept-Encoding"] = "gzip, deflate"
    return refusal


def model_not_found(asked: str, served: Iterable[str]) -> ApiError:
    """No served model answers to the name."""
    names = ", ".join(served)
    message = f"The model {shown(asked)} does not exist. Ask for one of: {names or 'none'}."
    return ApiError(404, "model_not_found", message, param="model")


def unsupported_route(model: str, route: str) -> ApiError:
    """The model is served, but not for this kind of request (embeddings of a chat model, for instance)."""
    message = f"The model {model!r} does not serve {route}. Ask a model made for it."
    return ApiError(404, "unsupported_route", message, param="model")


def model_loading(model: str) -> ApiError:
    """The engine has not been ready yet."""
    message = f"The model {model!r} is loading. Ask again in a moment."
    return ApiError(503, "model_loading", message, param="model", retry_after_s=LOADING_RETRY_S)


def model_not_loaded(model: str) -> ApiError:
    """The request waited for as long as it may, and the model on demand was not loaded."""
    message = f"The model {model!r} could not be loaded in time: others are, or its start takes longer. Ask again."
    return ApiError(503, "model_not_loaded", message, param="model", retry_after_s=UNLOADED_RETRY_S)


def model_start_failed(model: str, retry_after_s: int) -> ApiError:
    """The engine of a model on demand ended while it was loading, or loaded for too long."""
    message = f"The model {model!r} could not be started. Ask again in {retry_after_s} s; its operator sees why."
    return ApiError(503, "model_start_failed", message, param="model", retry_after_s=retry_after_s)


def model_restarting(model: str) -> ApiError:
    """The engine finishes what it has and takes nothing new."""
    message = f"The model {model!r} is restarting. Ask again in a moment."
    return ApiError(503, "model_restarting", message, param="model", retry_after_s=LOADING_RETRY_S)


def model_unreachable(model: str) -> ApiError:
    """The engine was ready and no longer answers."""
    message = f"The model {model!r} does not answer at present. Ask again in a moment."
    return ApiError(503, "model_unreachable", message, param="model", retry_after_s=LOADING_RETRY_S)


def model_stalled(model: str) -> ApiError:
    """The engine has requests and finishes no step of them."""
    message = f"The model {model!r} makes no progress at present. Ask again in a moment."
    return ApiError(503, "model_stalled", message, param="model", retry_after_s=LOADING_RETRY_S)


def queue_full(model: str, waiting: int, retry_after_s: int) -> ApiError:
    """As many wait for the model as may."""
    message = f"The model {model!r} is busy and {waiting} requests wait for it. Ask again in {retry_after_s} s."
    return ApiError(429, "queue_full", message, param="model", retry_after_s=retry_after_s)


def queue_too_slow(model: str, retry_after_s: int) -> ApiError:
    """The request waited for as long as it may, and its turn did not come."""
    message = f"The model {model!r} is busy, and the request waited in vain. Ask again in {retry_after_s} s."
    return ApiError(429, "queue_timeout", message, param="model", retry_after_s=retry_after_s)


def timeout_too_short(model: str, timeout_s: float, soonest_s: float, retry_after_s: int) -> ApiError:
    """The client would have left before its answer came."""
    message = (
        f"The model {model!r} is busy: an answer takes {soonest_s:.0f} s or longer, and the request allows "
        f"{timeout_s:g} s. Ask again in {retry_after_s} s, or allow more."
    )
    return ApiError(429, "timeout_too_short", message, param="model", retry_after_s=retry_after_s)


def upstream_failed(model: str) -> ApiError:
    """The engine went away during this request; whether it worked on it is unknown, so it is not asked again."""
    return ApiError(502, "upstream_error", f"The engine of the model {model!r} failed during the request.")


def engine_refused(model: str, status: int, reason: str | None) -> ApiError:
    """The engine answered with an error after the head of a stream had gone to the client."""
    message = f"The engine of the model {model!r} refused the request" + (f": {reason}" if reason else ".")
    return ApiError(status if status >= 400 else 502, ENGINE_REFUSED, message)


def upstream_timed_out(model: str | None) -> ApiError:
    """The engine took longer than the configuration allows."""
    return ApiError(504, "upstream_timeout", f"The engine of the model {model!r} did not answer in time.")


def request_timed_out() -> ApiError:
    """The client did not finish sending its request."""
    return ApiError(408, "request_timeout", "The request body did not arrive in time.", close=True)


def gateway_draining() -> ApiError:
    """The gateway is stopping."""
    message = "The server is restarting. Ask again in a moment."
    return ApiError(503, "server_draining", message, retry_after_s=BRIEF_RETRY_S, close=True)
