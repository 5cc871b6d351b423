"""The page at /ui: three files of our own, recent requests and usage. All else it asks as any client does."""

from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway.app import GATEWAY
from gateway.request_context import CURRENT

FILES = {"/ui": "index.html", "/ui/page.css": "page.css", "/ui/page.js": "page.js"}
COUNTS = ("requests", "errors", "prompt_tokens", "completion_tokens", "estimated")
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
HEADERS = {
    # No other origin, and no script but the file's: what a model or a client says can be shown and never run.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def add_page(app: web.Application) -> None:
    """Add its routes. The files are read once: a release does not change."""
    for route, name in FILES.items():
        path = Path(__file__).parent / "ui" / name
        app.router.add_get(route, _answering(path.read_bytes(), KINDS[path.suffix]))
    app.router.add_get("/ui/requests", recent_requests)
    app.router.add_get("/ui/usage", usage)


def _answering(body: bytes, kind: str) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type=kind, charset="utf-8", headers=HEADERS)

    return answer


async def recent_requests(request: web.Request) -> web.Response:
    """The caller's last requests, newest first."""
    found = request.app[GATEWAY].recent.of(CURRENT.get().caller)
    return web.json_response({"requests": found}, headers={"Cache-Control": "no-store"})


async def usage(request: web.Request) -> web.Response:
    """What the caller's key used of each model since midnight (UTC), and what it may; nothing is counted without."""
    context = CURRENT.get()
    key, rows = context.key, request.app[GATEWAY].tenancy.usage.today(context.caller)
    told = {
        "key": context.caller or None,
        "requests_per_minute": key and key.requests_per_minute,
        "tokens_per_day": key and key.tokens_per_day,
        "models": {row.model: {name: getattr(row, name) for name in COUNTS} for row in rows},
    }
    return web.json_response(told, headers={"Cache-Control": "no-store"})
