"""Calls of the small cloud as the real provider makes them: retries, waits for operations, and its error texts."""

import http.client
import json
import os
import threading
import time
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.support.fakes.provider.login import Login

Json = dict[str, Any]
ADDRESS = "AXION_FAKE_CLOUD"
RETRIED = frozenset({500, 502, 503})
ATTEMPTS = 3
"""The real provider goes on retrying until its timeout; three times show the same and are over sooner."""
PAUSE_S = 0.05
SCOPE = "https://www.googleapis.com/auth/cloud-platform"


LOGGING_IN = threading.RLock()
_login = [Login()]
"""Of this process, which is one provider: set once, when it is configured."""


def log_in(login: Login) -> None:
    """Call as somebody from now on."""
    _login[0] = login


class RestError(Exception):
    """A refusal, in the words of Google's Go client."""

    def __init__(self, code: int, reason: str, message: str, details: list[Json] | None = None) -> None:
        shown = f"\nDetails:\n{json.dumps(details, indent=2)}\n" if details else ""
        super().__init__(f"googleapi: Error {code}: {message}{shown}, {reason}")
        self.code, self.reason, self.details = code, reason, details or []


class OperationError(Exception):
    """An operation that was accepted and then failed."""


class TimedOutError(Exception):
    """The time that the resource was given is over."""


@dataclass(eq=False)
class Rest:
    """A client with one deadline for all that it does for one resource."""

    timeout_s: float

    def __post_init__(self) -> None:
        """Start the clock."""
        self.deadline = time.monotonic() + self.timeout_s

    def _left_s(self) -> float:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimedOutError("context deadline exceeded")
        return left

    def _headers(self) -> dict[str, str]:
        """Who calls; a service account's token is fetched first, by who may act as it."""
        with LOGGING_IN:
            login = _login[0]
            if login.impersonated:
                log_in(replace(login, impersonated=""))
                path = f"/v1/projects/-/serviceAccounts/{login.impersonated}:generateAccessToken"
                status, answer = self._once("POST", path, {"scope": [SCOPE]})
                if status >= 400:
                    log_in(login)
                    raise ValueError(f"impersonate: status code {status}: {json.dumps(answer)}")
                log_in(replace(login, impersonated="", token=answer["accessToken"]))
            return _login[0].headers()

    def _once(self, verb: str, path: str, body: Json | None) -> tuple[int, Json]:
        address = os.environ.get(ADDRESS, "")
        if not address:
            raise RestError(0, "noCloud", f"{ADDRESS}: where the cloud is, got nothing. Set it to http://host:port.")
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=self._left_s())
        try:
            data = None if body is None else json.dumps(body)
            connection.request(verb, path, data, {"Content-Type": "application/json", **self._headers()})
            answer = connection.getresponse()
            raw = answer.read()
            return answer.status, json.loads(raw) if raw else {}
        except TimeoutError:
            raise TimedOutError(f'{verb} "{address}{path}": context deadline exceeded') from None
        finally:
            connection.close()

    def call(self, verb: str, path: str, body: Json | None = None, query: dict[str, str] | None = None) -> Json:
        """One call, tried again when the connection breaks or Google is busy."""
        target = f"/{path.lstrip('/')}" + (f"?{urlencode(query)}" if query else "")
        for attempt in range(1, ATTEMPTS + 1):
            try:
                status, answer = self._once(verb, target, body)
            except (http.client.HTTPException, ConnectionError) as error:
                if attempt == ATTEMPTS:
                    raise RestError(0, "connection", f"{verb} {target}: {error or 'EOF'}") from None
            else:
                if status < 400:
                    return answer
                error_body = answer.get("error", {})
                if status not in RETRIED or attempt == ATTEMPTS:
                    reasons = [one.get("reason", "") for one in error_body.get("errors", [])] or [""]
                    message = error_body.get("message", "")
                    raise RestError(status, reasons[0], message, error_body.get("details"))
            time.sleep(min(PAUSE_S * attempt, self._left_s()))
        raise AssertionError("the last attempt returns or raises")

    def compute(self, verb: str, path: str, body: Json | None = None, query: dict[str, str] | None = None) -> Json:
        """A call of Compute; what it answers with an operation is awaited."""
        answer = self.call(verb, f"compute/v1/{path}", body, query)
        return self.wait(answer) if answer.get("kind") == "compute#operation" else answer

    def wait(self, operation: Json) -> Json:
        """The operation when it is done, or its error in the provider's words."""
        path = operation["selfLink"].split("/compute/v1/", 1)[1]
        while operation["status"] != "DONE":
            self._left_s()
            operation = self.call("POST", f"compute/v1/{path}/wait")
        errors = operation.get("error", {}).get("errors", [])
        if errors:
            shown = [one["message"] + _details(one.get("errorDetails")) for one in errors]
            raise OperationError("\n".join(shown) + f" [{', '.join(one['code'] for one in errors)}]")
        return operation

    def get(self, path: str, query: dict[str, str] | None = None) -> Json | None:
        """A resource, or None when it is not there."""
        try:
            return self.call("GET", path, query=query)
        except RestError as error:
            if error.code == 404:
                return None
            raise


def _details(details: list[Json] | None) -> str:
    return f"\nDetails:\n{json.dumps(details, indent=2)}\n" if details else ""
