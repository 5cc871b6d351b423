"""The script that waits for answers, run as on a host against small engines and a gateway that misbehave on cue."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes.gate_host import GateHost


@pytest.fixture
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateHost]:
    made = GateHost(tmp_path_factory.mktemp("h"), "alpha", "beta")
    yield made
    made.close()


class Outcome:
    """What a finished gate printed."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        stdout, self.stderr = process.communicate(timeout=40)
        *self.events, self.last = [json.loads(line) for line in stdout.splitlines()]
        self.status = process.returncode
        self.result, self.problems = self.last["answers"], self.last["problems"]

    def states(self, model: str) -> list[str]:
        return [event["state"] for event in self.events if event["model"] == model]


def gate(host: GateHost, **wanted: Any) -> Outcome:
    return Outcome(host.start_gate(**wanted))


def gate_until(host: GateHost, process: "subprocess.Popen[str]", change: Callable[[], None]) -> Outcome:
    """Let the gate look a few times, see that it still waits, change something, and let it finish."""
    host.wait_for_rounds(3)
    assert process.poll() is None, "the gate did not wait"
    change()
    return Outcome(process)


def test_when_every_model_answers_a_prompt_their_first_words_come_back(host: GateHost) -> None:
    outcome = gate(host)
    assert (outcome.status, outcome.result, outcome.problems) == (0, {"alpha": "Paris", "beta": "Paris"}, {})
    assert outcome.states("alpha") == ["ready", "answered"]
    assert sorted(host.prompts) == ["alpha", "beta"]


def test_only_the_engines_asked_for_are_waited_for(host: GateHost) -> None:
    host.health["beta"] = 503
    outcome = gate(host, engines={"alpha": "u-alpha"})
    assert (outcome.status, outcome.result) == (0, {"alpha": "Paris"})


def test_an_engine_that_loads_is_waited_for(host: GateHost) -> None:
    host.health["alpha"] = 503

    def load() -> None:
        host.health["alpha"] = 200

    outcome = gate_until(host, host.start_gate(), load)
    assert outcome.states("alpha") == ["loading", "ready", "answered"]
    assert outcome.status == 0


def test_an_old_process_that_still_answers_does_not_count(host: GateHost) -> None:
    host.record("alpha", pid=100, digest="u-old")
    outcome = gate_until(host, host.start_gate(), lambda: host.record("alpha", pid=101))
    assert outcome.states("alpha") == ["starting", "ready", "answered"]
    assert outcome.status == 0


def test_a_process_on_its_way_out_does_not_count_even_under_the_right_digest(host: GateHost) -> None:
    process = host.start_gate(ended=[100], engines={"alpha": "u-alpha"})
    outcome = gate_until(host, process, lambda: host.record("alpha", pid=101))
    assert outcome.states("alpha") == ["starting", "ready", "answered"]


@pytest.mark.parametrize(
    ("old", "ended"), [({"config_digest": "g0"}, []), ({"unit_digest": "u0"}, []), ({"pid": 7}, [7])]
)
def test_an_old_gateway_that_still_answers_does_not_count(
    host: GateHost, old: dict[str, Any], ended: list[int]
) -> None:
    before = dict(host.stats)
    host.stats.update(old)

    def mend() -> None:
        assert host.prompts == []
        host.stats.update(before)

    assert gate_until(host, host.start_gate(ended=ended), mend).status == 0


def test_an_engine_that_ends_twice_while_starting_is_a_problem_at_once(host: GateHost) -> None:
    host.health["alpha"] = 503
    process = host.start_gate(timeout_s=60)
    for pid in (101, 102):
        host.wait_for_rounds(3)
        host.record("alpha", pid=pid)
    outcome = Outcome(process)
    assert outcome.status == 1
    assert outcome.problems == {"alpha": "the engine ended 2 times while starting"}


def test_one_restart_while_starting_is_forgiven(host: GateHost) -> None:
    host.health["alpha"] = 503
    process = host.start_gate()
    host.wait_for_rounds(3)
    host.record("alpha", pid=101)

    def load() -> None:
        host.health["alpha"] = 200

    assert gate_until(host, process, load).status == 0


def test_an_answer_that_is_none_is_a_problem_with_its_text(host: GateHost) -> None:
    host.answers["beta"] = (400, {"error": {"message": "no chat template"}})
    outcome = gate(host)
    assert outcome.status == 1
    assert outcome.problems == {"beta": 'it answers a prompt with 400: {"error": {"message": "no chat template"}}'}
    assert outcome.result["beta"] is None


def test_an_engine_that_computes_nan_is_a_problem_at_once(host: GateHost) -> None:
    refused = {"error": {"message": "Out of range float values are not JSON compliant", "code": 400}}
    host.answers["beta"] = (400, refused)
    outcome = gate(host)
    assert outcome.status == 1
    assert outcome.problems["beta"].startswith("NaN where probabilities belong: the checkpoint is not whole, or ")
    assert outcome.result["beta"] is None


def test_the_question_lets_no_model_end_at_once_and_asks_how_likely_its_words_are(host: GateHost) -> None:
    gate(host)
    (asked,) = [each for each in host.asked if each["model"] == "alpha"]
    assert (asked["min_tokens"], asked["max_tokens"], asked["temperature"]) == (8, 8, 0)
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 2)


@pytest.mark.parametrize("status", [502, 503])
def test_a_gateway_that_has_just_lost_the_engine_is_asked_again(host: GateHost, status: int) -> None:
    answer = host.answers["alpha"]
    host.answers["alpha"] = (status, {})

    def mend() -> None:
        host.answers["alpha"] = answer

    assert gate_until(host, host.start_gate(), mend).result["alpha"] == "Paris"


def test_a_model_that_the_gateway_does_not_see_yet_is_not_asked(host: GateHost) -> None:
    host.states["alpha"] = "loading"
    outcome = gate(host, timeout_s=0.6)
    assert "alpha" not in host.prompts
    assert outcome.problems == {"alpha": "still ready after 0.6 s"}


def test_after_the_bound_each_engine_is_named_with_its_state(host: GateHost) -> None:
    host.health["alpha"] = 503
    outcome = gate(host, timeout_s=0.6)
    assert outcome.status == 1
    assert outcome.problems == {"alpha": "still loading after 0.6 s"}
    assert outcome.result == {"alpha": None, "beta": "Paris"}


def test_after_the_bound_a_gateway_that_is_not_the_releases_is_the_problem(host: GateHost) -> None:
    host.stats["config_digest"] = "g0"
    assert gate(host, timeout_s=0.6).problems == {
        "gateway": "it does not serve the release's code and configuration after 0.6 s"
    }


def test_a_gateway_that_never_listens_is_the_problem(host: GateHost) -> None:
    assert gate(host, timeout_s=0.6, gateway="127.0.0.1:1").problems == {
        "gateway": "it does not serve the release's code and configuration after 0.6 s"
    }


@pytest.mark.parametrize("broken", ["[1]", '{"unit_digest": "u-alpha"}'])
def test_a_broken_record_is_an_engine_that_has_not_started(host: GateHost, broken: str) -> None:
    (host.root / "run" / "alpha.json").write_text(broken)
    outcome = gate(host, timeout_s=0.6)
    assert outcome.problems == {"alpha": "still starting after 0.6 s"}
    assert outcome.stderr == ""


def test_an_engine_without_a_socket_is_loading(host: GateHost) -> None:
    Path(host.root / "run" / "alpha.sock").unlink()
    assert gate(host, timeout_s=0.6).problems == {"alpha": "still loading after 0.6 s"}


def test_models_that_load_one_after_another_have_their_time_each(host: GateHost) -> None:
    """Three waits of two thirds of the time each: together more than one model may take."""
    host.record("beta", pid=101, digest="u-old")
    host.health["alpha"] = 503
    process = host.start_gate(timeout_s=3)
    time.sleep(2)
    host.health["alpha"] = 200
    time.sleep(2)
    host.health["beta"] = 503
    host.record("beta", pid=102)
    time.sleep(2)
    host.health["beta"] = 200
    outcome = Outcome(process)
    assert (outcome.status, outcome.problems) == (0, {})
    assert outcome.events[-1]["after_s"] > 3


def test_a_model_that_comes_and_goes_gains_no_time_by_it(host: GateHost) -> None:
    host.health["alpha"] = 503
    process, began = host.start_gate(timeout_s=3), time.monotonic()
    while process.poll() is None and time.monotonic() < began + 30:
        host.states["alpha"] = "loading"
        host.health["alpha"] = 200 if host.health["alpha"] == 503 else 503
        time.sleep(0.6)
    outcome = Outcome(process)
    assert outcome.status == 1
    assert outcome.problems.keys() == {"alpha"}
    assert time.monotonic() - began < 10


def test_an_old_engine_that_finishes_its_requests_takes_no_time_of_the_new_one(
    host: GateHost,
) -> None:
    host.health["alpha"] = 503
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)", "launch"]) as old:
        host.record("alpha", pid=old.pid, digest="u-old")
        process = host.start_gate(timeout_s=3)
        time.sleep(4)
        host.record("alpha", pid=101)
        old.kill()
        time.sleep(1)
        host.health["alpha"] = 200
        outcome = Outcome(process)
    assert (outcome.status, outcome.problems) == (0, {})


def test_a_gateway_at_what_is_no_address_does_not_answer(host: GateHost) -> None:
    """A release's description may say anything."""
    outcome = gate(host, gateway="a\0b:80000", timeout_s=0.3)
    assert (outcome.status, outcome.stderr) == (1, "")
    assert outcome.problems == {"gateway": "it does not serve the release's code and configuration after 0.3 s"}


@pytest.mark.parametrize(("keys", "sent"), [(b"\xff\xfe\n", None), ("sk-\u20ac\n".encode(), "Bearer sk-\u20ac")])
def test_a_key_that_is_no_ascii_is_sent_as_it_is_or_not_at_all(host: GateHost, keys: bytes, sent: str | None) -> None:
    (host.root / "keys").write_bytes(keys)
    outcome = gate(host, engines={"alpha": "u-alpha"}, keys=str(host.root / "keys"))
    assert (outcome.status, outcome.stderr) == (0, "")
    assert [given and given.encode("latin-1").decode() for given in host.authorizations] == [sent]
