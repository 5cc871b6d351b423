"""The OpenAPI document: it names the routes that the application has, and schemathesis holds the gateway to it."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import jsonschema
import pytest
import schemathesis
from schemathesis.checks import CHECKS, load_all_checks

from gateway.app import Gateway
from gateway.config_file import parse_config
from gateway.fleet import Fleet
from gateway.openapi import document, printed
from gateway.server import create_app
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import ROOT, config_json, staged

CASES_EACH = 12
ANSWER_S = 30.0
"""No answer takes so long, of an engine that answers at once: a hang."""
load_all_checks()
HELD_TO: list[Any] = CHECKS.get_by_names(
    [
        # No 500 is documented anywhere, so that the first one tells of each bug.
        *("status_code_conformance", "content_type_conformance"),
        *("response_headers_conformance", "response_schema_conformance"),
    ]
)
SCHEMA = schemathesis.openapi.from_dict(document())


@dataclass
class Running:
    """A gateway process in front of an engine's, and its log."""

    gateway: subprocess.Popen[bytes]
    address: str
    log: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("served")
    config = directory / "gateway.json"
    config.write_bytes(config_json(directory, "a", timeouts={"probe_s": 10}))
    engine = ("-m", "tests.support.fakes.engine", "--uds", str(directory / "a.sock"), "--name", "a", "--embeds")
    log = directory / "gateway.log"
    with (
        log.open("wb") as said,
        subprocess.Popen((sys.executable, *engine), cwd=ROOT) as behind,
        subprocess.Popen((sys.executable, "-m", "gateway", "--config", str(config)), cwd=ROOT, stderr=said) as gateway,
    ):
        try:
            deadline = time.monotonic() + 60
            while not (found := re.search(r"addresses=(127\.0\.0\.1:\d+)", log.read_text())):
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            running = Running(gateway, f"http://{found[1]}", log)
            yield running
            assert gateway.poll() is None, "the gateway ended"
            assert "request.failed" not in log.read_text(), "a bug's traceback"
        finally:
            gateway.kill()
            behind.kill()


@SCHEMA.parametrize()
@hypothesis.settings(
    max_examples=CASES_EACH, derandomize=True, deadline=None, suppress_health_check=list(hypothesis.HealthCheck)
)
def test_every_route_answers_as_it_says(case: schemathesis.Case[Any], served: Running) -> None:
    answer = case.call(base_url=served.address, timeout=ANSWER_S)
    case.validate_response(answer, checks=HELD_TO)


def routes_of_the_application() -> set[tuple[str, str]]:
    """Method and path of each; a regular expression within a path, and HEAD beside GET, are not for a document."""
    gateway = Gateway(Fleet(parse_config(config_json(Path("/nowhere"), "a"), where="gateway.json")))
    found = {
        (route.method.lower(), re.sub(r":[^}]+}", "}", route.resource.canonical))
        for route in create_app(gateway).router.routes()
        if route.resource is not None and route.method != "HEAD"
    }
    return {(method, path) for method, path in found if path}


def test_the_document_has_each_route_of_the_application_and_no_other() -> None:
    told = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    theirs = routes_of_the_application()
    any_method = {path for method, path in theirs if method == "*"}
    assert {each for each in told if each[1] not in any_method} == {
        each for each in theirs if each[1] not in any_method
    }
    assert any_method <= {path for _, path in told}


def test_the_file_in_the_checkout_is_the_document() -> None:
    assert (ROOT / "docs" / "openapi.json").read_text() == printed(), "run `make schema`"


async def test_the_gateway_serves_it(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        assert await stage.json("/openapi.json") == json.loads(printed())


async def test_a_report_that_nothing_is_ready_is_no_error_in_the_document(tmp_path: Path) -> None:
    documented, schemas = document()["paths"], document()["components"]
    async with staged(tmp_path, FakeEngine(name="a", is_healthy=False)) as stage:
        for path in ("/readyz", "/health"):
            async with stage.session.get(path) as answer:
                assert answer.status == 503
                schema = documented[path]["get"]["responses"]["503"]["content"]["application/json"]["schema"]
                jsonschema.validate(await answer.json(), {**schema, "components": schemas})


def test_what_errors_are_said_to_look_like_tells_them_from_each_other() -> None:
    schemas = document()["components"]["schemas"]
    openai = {"error": {"message": "m", "type": "t", "param": None, "code": "c"}}
    anthropic = {"type": "error", "error": {"type": "t", "message": "m"}, "request_id": "r"}
    told: dict[str, Any] = {"OpenAIError": openai, "AnthropicError": anthropic, "OllamaError": {"error": "m"}}
    for name, schema in schemas.items():
        fits = {other for other, body in told.items() if jsonschema.Draft202012Validator(schema).is_valid(body)}
        assert fits - {"AnthropicError"} | {name} == {name}
