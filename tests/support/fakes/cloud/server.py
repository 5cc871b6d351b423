"""The HTTP side: find the method, judge the call, strike with planted faults, answer, judge the answer."""

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support import web
from tests.support.fakes.cloud import documents, gates
from tests.support.fakes.cloud.answers import ANSWERS, Call
from tests.support.fakes.cloud.errors import ApiError, service_disabled
from tests.support.fakes.cloud.faults import Fault
from tests.support.fakes.cloud.state import Settings, State

Json = dict[str, Any]
HANG_S = 3600.0


class CutOffError(Exception):
    """A planted fault: the connection closes without an answer."""


@dataclass(eq=False)
class Cloud:
    """State, planted faults, and every request that came, with what was answered."""

    state: State = field(default_factory=State)
    faults: list[Fault] = field(default_factory=list)
    requests: list[Json] = field(default_factory=list)
    url: str = ""
    closing: threading.Event = field(default_factory=threading.Event)

    def plant(self, **fault: Any) -> Fault:
        """Add a fault; see `Fault` for the fields."""
        planted = Fault(**fault)
        self.faults.append(planted)
        return planted

    def answer(self, verb: str, target: str, body: Json, headers: Json | None = None) -> tuple[int, Json]:
        """The whole way of one call, HTTP aside; names of headers are in lower case."""
        parts = urlsplit(target)
        path, query = unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)
        record: Json = {"method": "", "verb": verb, "path": target, "body": body, "status": 0, "answer": None}
        self.requests.append(record)
        try:
            method, names = documents.find(verb, path)
            record["method"] = method.id
            # What was asked stays as it was, whatever becomes of the resource.
            asked = copy.deepcopy(body)
            record["status"], record["answer"] = 200, self._call(method, names, query, asked, path, headers)
        except ApiError as error:
            record["status"], record["answer"] = error.code, error.body()
        return record["status"], record["answer"]

    def _call(
        self,
        method: documents.Method,
        names: dict[str, str],
        query: dict[str, list[str]],
        body: Json,
        path: str,
        headers: Json | None,
    ) -> Json:
        with self.state.lock:
            struck = [fault for fault in self.faults if fault.strikes(method.id, path)]
        settings = self.state.settings
        for fault in struck:
            fault.sleep()
            if fault.kind == "hang" and not fault.after_work:
                self._hang()
            if refusal := fault.refusal(settings, method.id, method.service, path):
                raise refusal
        if method.service not in settings.services and method.service != "serviceusage.googleapis.com":
            title = f"{method.service.partition('.')[0].title()} API"
            raise service_disabled(method.service, title, settings.project, settings.number)
        parameters = method.checked_parameters(names, query)
        method.check_request(body)
        call = Call(state=self.state, method=method, parameters=parameters, body=body, headers=headers or {})
        call.fails_at_end = next(
            (end for fault in struck if (end := fault.end(parameters.get("zone", "us-central1-a")))), None
        )
        if method.id.endswith("Operations.wait"):
            answer = ANSWERS[method.id](call)
        else:
            with self.state.lock:
                self.state.advance()
                gates.check(call)
                answer = json.loads(json.dumps(ANSWERS[method.id](call)))
        problems = method.problems_of_answer(answer)
        assert not problems, f"{method.id} answered what Google's schema does not allow: {problems}"
        if any(fault.kind == "hang" for fault in struck):
            self._hang()
        if any(fault.kind == "drop" for fault in struck):
            raise CutOffError
        return answer

    def _hang(self) -> None:
        self.closing.wait(HANG_S)
        raise CutOffError


class Handler(web.Handler):
    """Bytes in, bytes out."""

    protocol_version = "HTTP/1.1"
    cloud: Cloud

    def _serve(self) -> None:
        raw = self.body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = json.loads(raw) if raw.strip() else {}
            status, answer = self.cloud.answer(self.command, self.path, body, headers)
        except CutOffError:
            self.close_connection = True
            return
        except Exception as error:  # our bug: tell the client, or it waits; the test then shows this text
            status, answer = 500, {"error": {"code": 500, "message": f"the fake cloud broke: {error!r}", "errors": []}}
            self.log_error("%s", repr(error))
        self.answer(status, answer, {"Content-Type": "application/json; charset=UTF-8"})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815, the library's names


@contextmanager
def running(settings: Settings | None = None) -> Iterator[Cloud]:
    """A cloud on a port of its own for as long as the block runs."""
    cloud = Cloud(State(settings))
    with web.served(Handler, cloud=cloud) as cloud.url:
        try:
            yield cloud
        finally:
            cloud.closing.set()
