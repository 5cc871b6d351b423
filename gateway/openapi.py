"""What the gateway answers, as an OpenAPI document: GET /openapi.json, and docs/openapi.json in the checkout.

One table says what a route takes and answers; its errors follow from the API that it belongs to. What engines take and
answer is vLLM's own: only what the gateway itself looks at is described. `python -m gateway.openapi` prints it.
"""

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

from aiohttp import web

from gateway import __version__
from gateway.form import FORM_ROUTES
from gateway.ollama.asking import ROUTES as TRANSLATED
from gateway.ollama.catalog import ABSENT
from gateway.protocols import protocol_of
from gateway.protocols.anthropic import ANTHROPIC
from gateway.protocols.ollama import OLLAMA
from gateway.routes import MODEL_ROUTES, STREAM_ENDINGS

JSON, EVENTS, LINES = "application/json", "text/event-stream", "application/x-ndjson"
EVERYWHERE = {
    400: "The request is wrong.",
    401: "No key, or a wrong one.",
    403: "The key, or the web page that asks, may not do this.",
    421: "The Host of the request is not this server.",
    431: "A header is too large, or there are too many.",
    503: "The server or the model is not ready. Ask again after Retry-After.",
}
OF_A_MODEL = {
    404: "Nobody serves the model, or the route.",
    408: "The request did not arrive in time.",
    413: "The request is too large.",
    415: "The Content-Type or Content-Encoding is not supported.",
    429: "A limit of the key, or a busy model. Ask again after Retry-After.",
    502: "The engine failed during the request.",
    504: "The engine did not answer in time.",
}
NOT_READY = {"description": "No model is ready: the same report.", "content": {JSON: {"schema": {}}}}
OF_SOME = {409: "The model is busy, or always runs.", 501: "Not offered here."}
MODEL = {
    "type": ["string", "null"],
    "maxLength": 256,
    "examples": ["auto"],
    "description": "A name of GET /v1/models; left out: the default.",
}
STREAM = {"type": ["boolean", "null"], "description": "Whether the answer comes piece by piece."}
ASKED: dict[str, Any] = {"type": "object", "properties": {"model": MODEL, "stream": STREAM}}
TEXT = {"type": "string"}
MESSAGES = {"type": "array", "items": {"type": "object"}}
OLLAMAS: dict[str, dict[str, Any]] = {
    "/api/chat": {"messages": MESSAGES, "tools": {"type": "array"}, "options": {"type": "object"}},
    "/api/generate": {"prompt": TEXT, "system": TEXT, "raw": {"type": "boolean"}, "options": {"type": "object"}},
    "/api/embed": {"input": {"type": ["string", "array"]}},
    "/api/embeddings": {"prompt": TEXT},
    "/generate": {"prompt": TEXT, "options": {"type": "object"}},
}
FORM = {
    "type": "object",
    "properties": {"model": TEXT, "file": {"type": "string", "contentMediaType": "application/octet-stream"}},
    "required": ["file"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Described:
    """One method of one route."""

    method: str
    path: str
    """As OpenAPI writes it."""
    what: str
    answers: tuple[str, ...] = (JSON,)
    """Content types of what is no error; nothing where there is nothing else."""
    refusals: tuple[int, ...] = ()
    """Statuses besides those of every route."""
    body: dict[str, Any] | None = None
    is_form: bool = False

    @property
    def operation(self) -> dict[str, Any]:
        """The method in OpenAPI's words."""
        kinds = {kind: {"schema": {} if kind in (JSON, EVENTS) else TEXT} for kind in self.answers}
        statuses = sorted((*EVERYWHERE, *self.refusals))
        found: dict[str, Any] = {
            "summary": self.what,
            "responses": {
                **({"200": {"description": "What was asked for.", "content": kinds}} if kinds else {}),
                **{str(each): {"$ref": f"#/components/responses/{_api(self.path)}{each}"} for each in statuses},
                **({"503": NOT_READY} if self.path in ("/health", "/readyz") else {}),
            },
        }
        if names := [part[1:-1] for part in self.path.split("/") if part.startswith("{")]:
            schema = {"type": "string", "minLength": 1}
            found["parameters"] = [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]
        if self.body is not None:
            kind = "multipart/form-data" if self.is_form else JSON
            found["requestBody"] = {"required": True, "content": {kind: {"schema": self.body}}}
        return found


def _get(path: str, what: str, *answers: str, refusals: tuple[int, ...] = ()) -> Described:
    return Described(method="get", path=path, what=what, answers=answers or (JSON,), refusals=refusals)


def _asked(path: str, what: str, body: dict[str, Any], *answers: str, is_form: bool = False) -> Described:
    return Described(
        method="post",
        path=path,
        what=what,
        answers=(JSON, *answers),
        refusals=tuple(OF_A_MODEL),
        body=body,
        is_form=is_form,
    )


APIS = ("OpenAI", "Anthropic", "Ollama")


def _api(path: str) -> str:
    """Whose clients read the errors of a route."""
    protocol = protocol_of(path, {})
    return "Anthropic" if protocol is ANTHROPIC else "Ollama" if protocol is OLLAMA else "OpenAI"


def _refusal(api: str, what: str) -> dict[str, Any]:
    return {"description": what, "content": {JSON: {"schema": {"$ref": f"#/components/schemas/{api}Error"}}}}


RESPONSE = "/v1/responses/{response_id}"
TABLE: tuple[Described, ...] = (
    _get("/", "Who answers here."),
    _get("/livez", "Whether the process answers."),
    _get("/readyz", "Whether to send requests here: 503 where no model is ready."),
    _get("/health", "The overview that clients of earlier servers ask for."),
    _get("/stats", "Figures for people, and for who deploys."),
    _get("/metrics", "For Prometheus: the gateway's own, and each engine's.", "text/plain"),
    _get("/openapi.json", "This document."),
    _get("/ui", "The page.", "text/html"),
    _get("/ui/page.css", "Its style.", "text/css"),
    _get("/ui/page.js", "Its program.", "text/javascript"),
    _get("/ui/requests", "The caller's last requests."),
    _get("/ui/usage", "What the caller's key used today, and what it may."),
    _get("/v1/models", "The models that the caller may use; in Anthropic's shape for who sends anthropic-version."),
    _get("/v1/models/{id}", "One of them, by any of its names.", refusals=(404,)),
    _get("/models", "The same list, for clients of earlier servers."),
    _get("/experts", "The same in another shape."),
    _get("/running", "What is loaded, in llama-swap's words."),
    *(
        Described(method="post", path=path, what="Unload each model on demand that nobody uses.", refusals=(429,))
        for path in ("/unload", "/api/models/unload")
    ),
    Described(method="post", path="/api/models/unload/{model}", what="Unload one.", refusals=(404, 409, 429)),
    Described(method="get", path="/v1/realtime", what="Not offered.", answers=(), refusals=(501,)),
    Described(method="get", path=RESPONSE, what="A response that was made here.", refusals=tuple(OF_A_MODEL)),
    Described(method="post", path=f"{RESPONSE}/cancel", what="End it.", refusals=tuple(OF_A_MODEL), body={}),
    *(
        _asked(path, "As vLLM answers it.", ASKED, *((EVENTS,) if path in STREAM_ENDINGS else ()))
        for path in MODEL_ROUTES
    ),
    *(_asked(path, "As vLLM answers it: a form.", FORM, EVENTS, is_form=True) for path in FORM_ROUTES),
    *(
        _asked(path, "As Ollama answers it.", {**ASKED, "properties": {**ASKED["properties"], **OLLAMAS[path]}}, LINES)
        for path in TRANSLATED
    ),
    _get("/api/version", "Ollama's version whose API is answered."),
    _get("/api/tags", "The models, in Ollama's shape."),
    _get("/api/ps", "Those that are ready."),
    _asked("/api/show", "What a model is and can do.", ASKED),
    *(
        Described(method=method, path=path, what="Not offered.", answers=(), refusals=(501,), body={})
        for path in ABSENT
        for method in ("delete" if path == "/api/delete" else "post",)
    ),
)


def document() -> dict[str, Any]:
    """Return the whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for each in TABLE:
        paths.setdefault(each.path, {})[each.method] = each.operation
    text_or_none = {"type": ["string", "null"]}
    openai = {"message": TEXT, "type": TEXT, "param": text_or_none, "code": {"type": ["string", "integer", "null"]}}
    anthropic = {"type": {"const": "error"}, "error": _object({"type": TEXT, "message": TEXT}), "request_id": TEXT}
    return {
        "openapi": "3.1.0",
        "info": {"title": "axion-gateway", "version": __version__},
        "paths": paths,
        "security": [{}, {"bearer": []}, {"api-key": []}, {"x-api-key": []}],
        "components": {
            "responses": {
                f"{api}{status}": _refusal(api, what)
                for api in APIS
                for status, what in {**EVERYWHERE, **OF_A_MODEL, **OF_SOME}.items()
            },
            "schemas": {
                "OpenAIError": _object({"error": _object(openai, required=("message",))}),
                "AnthropicError": _object(anthropic),
                "OllamaError": _object({"error": TEXT}),
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                **{name: {"type": "apiKey", "in": "header", "name": name} for name in ("api-key", "x-api-key")},
            },
        },
    }


def _object(properties: dict[str, Any], *, required: tuple[str, ...] | None = None) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required or properties)}


async def answer(request: web.Request) -> web.Response:
    """GET /openapi.json."""
    return web.Response(text=printed(), content_type=JSON)


@cache
def printed() -> str:
    """Return the document as its file has it."""
    return json.dumps(document(), indent=1) + "\n"


if __name__ == "__main__":
    print(printed(), end="")
