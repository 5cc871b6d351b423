"""Planted faults: slow, silent, cut off, refused, failed at the end; each at the call that the test names."""

import http.client
import json
import time
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.cloud_calls import COMPUTE, ZONE, disk, done, instance, network, operation_error, post, refusal
from tests.support.fakes.cloud.server import Cloud

INSERT = r"compute\.disks\.insert"
DATA = "projects/axion-test/zones/us-central1-a/disks/data"


def over_http(cloud: Cloud, verb: str, path: str, body: Any = None, timeout_s: float = 5.0) -> tuple[int, Any]:
    address = urlsplit(cloud.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=timeout_s)
    try:
        connection.request(verb, path, None if body is None else json.dumps(body))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read() or b"null")
    finally:
        connection.close()


def test_only_the_named_call_of_the_named_method_fails(cloud: Cloud) -> None:
    fault = cloud.plant(method=INSERT, kind="error", nth=2)
    done(cloud, "POST", f"{ZONE}/disks", disk("one"))
    assert refusal(post(cloud, f"{ZONE}/disks", disk("two"))) == (503, "backendError", "Backend Error")
    done(cloud, "POST", f"{ZONE}/disks", disk("two"))
    assert (fault.seen, fault.struck) == (3, 1)


def test_every_call_fails_for_one_path_only(cloud: Cloud) -> None:
    cloud.plant(method=r"compute\.disks\.get", kind="permission", nth=0, path="/secret$")
    for _ in range(2):
        code, reason, message = refusal(cloud.answer("GET", f"{ZONE}/disks/secret", {}))
        assert (code, reason) == (403, "forbidden")
        assert message.startswith("Required 'compute.disks.get' permission for '")
    assert refusal(cloud.answer("GET", f"{ZONE}/disks/other", {}))[0] == 404


@pytest.mark.parametrize(
    ("kind", "code"), [("quota", "QUOTA_EXCEEDED"), ("stockout", "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS")]
)
def test_an_accepted_operation_fails_at_the_end_and_leaves_nothing(cloud: Cloud, kind: str, code: str) -> None:
    network(cloud)
    before = set(cloud.state.resources)
    cloud.plant(method=r"compute\.instances\.insert", kind=kind)
    assert operation_error(done(cloud, "POST", f"{ZONE}/instances", instance()))[0] == code
    assert set(cloud.state.resources) == before
    assert "error" not in done(cloud, "POST", f"{ZONE}/instances", instance())


def test_a_failed_delete_leaves_the_thing(cloud: Cloud) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk())
    cloud.plant(method=r"compute\.disks\.delete", kind="operation", code=500, reason="INTERNAL_ERROR", message="Oops")
    assert operation_error(done(cloud, "DELETE", f"{ZONE}/disks/data")) == ("INTERNAL_ERROR", "Oops")
    assert DATA in cloud.state.resources


def test_a_cut_off_answer_comes_after_the_work(cloud: Cloud) -> None:
    cloud.plant(method=INSERT, kind="drop")
    with pytest.raises(http.client.RemoteDisconnected):
        over_http(cloud, "POST", f"{ZONE}/disks", disk())
    assert DATA in cloud.state.resources
    assert over_http(cloud, "POST", f"{ZONE}/disks", disk())[0] == 409


@pytest.mark.parametrize("after_work", [True, False])
def test_a_call_hangs_before_or_after_the_work(cloud: Cloud, after_work: bool) -> None:
    cloud.plant(method=INSERT, kind="hang", after_work=after_work)
    with pytest.raises(TimeoutError):
        over_http(cloud, "POST", f"{ZONE}/disks", disk(), timeout_s=0.3)
    assert (DATA in cloud.state.resources) is after_work
    assert over_http(cloud, "GET", f"{COMPUTE}/zones/us-central1-a")[0] == 200


def test_a_call_is_slow_and_others_are_not(cloud: Cloud) -> None:
    cloud.plant(method=INSERT, kind="delay", seconds=0.3)
    began = time.monotonic()
    assert over_http(cloud, "POST", f"{ZONE}/disks", disk())[0] == 200
    assert time.monotonic() - began > 0.29


def test_an_operation_takes_the_time_that_it_is_given(cloud: Cloud) -> None:
    cloud.state.settings.operation_delay_s = 0.3
    began = time.monotonic()
    _, operation = over_http(cloud, "POST", f"{ZONE}/disks", disk())
    path = operation["selfLink"].removeprefix("https://www.googleapis.com")
    assert over_http(cloud, "GET", path)[1]["status"] == "RUNNING"
    assert refusal(post(cloud, f"{ZONE}/disks/data/resize", {"sizeGb": "90"}))[1] == "resourceNotReady"
    assert over_http(cloud, "POST", f"{path}/wait")[1]["status"] == "DONE"
    assert time.monotonic() - began > 0.29


def test_a_fault_that_could_never_strike_is_refused(cloud: Cloud) -> None:
    with pytest.raises(AssertionError, match="kind: not a fault, got explode"):
        cloud.plant(method=INSERT, kind="explode")


def test_every_request_is_remembered_and_an_api_that_is_off_answers_none(cloud: Cloud) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk())
    cloud.state.settings.services = set()
    assert refusal(cloud.answer("GET", f"{ZONE}/disks", {}))[:2] == (403, "accessNotConfigured")
    told = [(one["method"], one["status"]) for one in cloud.requests]
    assert (told[0], told[-1]) == (("compute.disks.insert", 200), ("compute.disks.list", 403))
