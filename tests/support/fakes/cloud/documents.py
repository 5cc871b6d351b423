"""Google's trimmed discovery documents: which method a request means, and whether its parts are well formed."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.fakes.cloud.errors import ApiError, invalid, invalid_field
from tests.support.fakes.cloud.schema import Judge

Json = dict[str, Any]
DISCOVERY = Path(__file__).with_name("discovery")
BODY = "resource"
"""What Google calls the body of a request in its messages."""

ALSO_TAKEN = frozenset({"returnPartialSuccess"})
"""gcloud 528 sends it with every aggregated list; this revision of the documents does not have it, Google takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """One method of one API, with all that is needed to judge a call of it."""

    id: str
    verb: str
    path: re.Pattern[str]
    parameters: dict[str, Json]
    common: frozenset[str]
    request: str | None
    response: str | None
    schemas: dict[str, Json]
    service: str

    @property
    def package(self) -> str:
        """Where Google keeps the types, as its messages show it."""
        return f"google.cloud.{self.service.partition('.')[0]}"

    def checked_parameters(self, path: dict[str, str], query: dict[str, list[str]]) -> dict[str, str]:
        """Path and query parameters in one mapping, or the refusal."""
        for name, value in path.items():
            pattern = self.parameters[name].get("pattern")
            if pattern and not re.fullmatch(pattern, value):
                raise invalid_field(name, value, f"Must be a match of regex '{pattern}'")
        chosen = dict(path)
        for name, values in query.items():
            if name in ALSO_TAKEN:
                continue
            known = self.parameters.get(name)
            if known is None and name not in self.common:
                raise invalid(f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query parameter.')
            if known is None:
                continue
            _check_parameter(name, values[-1], known)
            chosen[name] = ",".join(values) if known.get("repeated") else values[-1]
        missing = [name for name, known in self.parameters.items() if known.get("required") and name not in chosen]
        if missing:
            raise ApiError(400, "required", f"Required parameter: {missing[0]}")
        return chosen

    def check_request(self, body: object) -> None:
        """Refuse a body that Google's own schema does not allow."""
        if self.request is None:
            if body:
                raise invalid(f'Invalid JSON payload received. Unknown name "{next(iter(body))}": Cannot find field.')  # type: ignore[call-overload]
            return
        judge = Judge(schemas=self.schemas, package=self.package, request_of=self.id)
        problems = list(judge.problems(self.request, body, BODY))
        if problems:
            raise invalid("\n".join(problems))

    def problems_of_answer(self, body: object) -> list[str]:
        """What is wrong with our own answer; anything is a bug of this cloud."""
        if self.response is None or self.response == "Empty":
            return [] if not body else [f"{self.id} answers nothing, got {body}"]
        return list(Judge(schemas=self.schemas, package=self.package).problems(self.response, body, "answer"))


def _check_parameter(name: str, value: str, known: Json) -> None:
    if "enum" in known and value not in known["enum"]:
        raise invalid_field(name, value, f"Must be one of {known['enum']}")
    if known["type"] == "integer" and not re.fullmatch(r"-?\d+", value):
        raise invalid_field(name, value, "Must be an integer")
    if known["type"] == "boolean" and value.lower() not in ("true", "false"):
        raise invalid_field(name, value, "Must be true or false")


def path_pattern(path: str, parameters: dict[str, Json]) -> re.Pattern[str]:
    """A URI template as an expression: `{+name}` takes what the parameter's own pattern allows."""

    def group(found: re.Match[str]) -> str:
        name = found[2]
        # A name ends before a verb such as `:getIamPolicy`, which Google's own patterns leave open.
        inner = parameters[name].get("pattern", "[^/]+").strip("^$") if found[1] else "[^/]+"
        inner = inner.replace("[^/]", "[^/:]")
        return f"(?P<{name}>{inner})"

    pieces = re.split(r"(\{\+?\w+\})", path)
    shown = (re.sub(r"\{(\+?)(\w+)\}", group, one) if one[:1] == "{" else re.escape(one) for one in pieces)
    return re.compile("/" + "".join(shown))


def _methods_of(document: Json) -> Iterator[Method]:
    for method_id, method in document["methods"].items():
        yield Method(
            id=method_id,
            verb=method["httpMethod"],
            path=path_pattern(method["path"], method["parameters"]),
            parameters=method["parameters"],
            common=frozenset(document["parameters"]),
            request=method.get("request"),
            response=method.get("response"),
            schemas=document["schemas"],
            service=document["rootUrl"].removeprefix("https://").strip("/"),
        )


@cache
def methods() -> dict[str, Method]:
    """Every offered method by its id."""
    documents = [json.loads(path.read_text()) for path in sorted(DISCOVERY.glob("*.json"))]
    return {method.id: method for document in documents for method in _methods_of(document)}


def find(verb: str, path: str) -> tuple[Method, dict[str, str]]:
    """The method that a request means and what its path says."""
    for method in methods().values():
        if method.verb == verb and (found := method.path.fullmatch(path)):
            return method, found.groupdict()
    raise ApiError(404, "notFound", f"The requested URL {path} was not found on this server.")
