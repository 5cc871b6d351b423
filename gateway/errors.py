"""Errors as OpenAI's clients expect them: one envelope, a stable code, and Retry-After where waiting helps."""

import json
from collections.abc import Iterable

from aiohttp import web

LOADING_RETRY_S = 5
"""Engines load for tens of seconds; a shorter hint only makes clients ask more often."""
BRIEF_RETRY_S = 1
"""For a gateway that is being replaced: its successor is listening already, or will be at once."""
SHOWN_CHARS = 80


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
        return "invalid_request_error" if self.status < 500 else "server_error"

    def envelope(self) -> dict[str, object]:
        """Return OpenAI's error object."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def response(self) -> web.Response:
        """Return the whole HTTP answer."""
        response = web.Response(
            status=self.status,
            body=json.dumps(self.envelope()).encode(),
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
    text = repr(value)
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


def body_too_large(limit_bytes: int) -> ApiError:
    """The rest of the body is left unread, hence the connection cannot be used again."""
    return ApiError(
        413, "request_too_large", f"The request body is larger than {limit_bytes} bytes. Send less.", close=True
    )


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
    message = f"The model {shown(asked)} does not exist. Ask for one of: {names}."
    return ApiError(404, "model_not_found", message, param="model")


def unsupported_route(model: str, route: str) -> ApiError:
    """The model is served, but not for this kind of request (embeddings of a chat model, for instance)."""
    message = f"The model {model!r} does not serve {route}. Ask a model made for it."
    return ApiError(404, "unsupported_route", message, param="model")


def model_loading(model: str) -> ApiError:
    """The engine has not been ready yet."""
    message = f"The model {model!r} is loading. Ask again in a moment."
    return ApiError(503, "model_loading", message, param="model", retry_after_s=LOADING_RETRY_S)


def model_restarting(model: str) -> ApiError:
    """The engine finishes what it has and takes nothing new."""
    message = f"The model {model!r} is restarting. Ask again in a moment."
    return ApiError(503, "model_restarting", message, param="model", retry_after_s=LOADING_RETRY_S)


def model_unreachable(model: str) -> ApiError:
    """The engine was ready and no longer answers."""
    message = f"The model {model!r} does not answer at present. Ask again in a moment."
    return ApiError(503, "model_unreachable", message, param="model", retry_after_s=LOADING_RETRY_S)


def upstream_failed(model: str) -> ApiError:
    """The engine went away during this request; whether it worked on it is unknown, so it is not asked again."""
    return ApiError(502, "upstream_error", f"The engine of the model {model!r} failed during the request.")


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
