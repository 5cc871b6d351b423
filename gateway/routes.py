"""The engine routes that the gateway passes on, and what it must know about each."""

from collections.abc import Mapping
from types import MappingProxyType

STREAM_ENDINGS: Mapping[str, tuple[bytes, ...]] = MappingProxyType(
    {
        "/v1/chat/completions": (b"data: [DONE]",),
        "/v1/completions": (b"data: [DONE]",),
        "/v1/messages": (b"event: message_stop",),
        "/v1/responses": (b"event: response.completed", b"event: response.incomplete", b"event: response.failed"),
    }
)
"""The line, or its beginning, in a stream's last event; without one it was cut, however clean its end looks."""

MODEL_ROUTES = (
    "/v1/chat/completions",
    "/v1/chat/completions/batch",
    "/v1/chat/completions/derender",
    "/v1/chat/completions/render",
    "/v1/completions",
    "/v1/completions/derender",
    "/v1/completions/render",
    "/v1/embeddings",
    "/v2/embed",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/score",
    "/score",
    "/v1/rerank",
    "/v2/rerank",
    "/rerank",
    "/classify",
    "/pooling",
    "/generative_scoring",
    "/inference/v1/generate",
    "/tokenize",
    "/detokenize",
)
"""All take a JSON object by POST and name the model in it. Administrative routes of an engine are not passed on."""

LIGHT_ROUTES = frozenset(
    {
        "/v1/chat/completions/derender",
        "/v1/chat/completions/render",
        "/v1/completions/derender",
        "/v1/completions/render",
        "/v1/messages/count_tokens",
        "/v1/responses/{response_id}",
        "/v1/responses/{response_id}/cancel",
        "/tokenize",
        "/detokenize",
    }
)
"""An engine's HTTP server answers these by itself: they take no place among the requests that it computes."""

PAGE_ROUTES = frozenset({"/ui", "/ui/page.css", "/ui/page.js", "/ui/requests", "/ui/usage"})
QUIET_ROUTES = frozenset({"/", "/health", "/livez", "/readyz", "/metrics", "/stats"}) | PAGE_ROUTES
"""Asked by machines every few seconds, or by the page: logged only when debugging."""

UNKNOWN = "-"
"""Stands for a route or a model that does not exist, so that clients cannot invent metric labels."""
