"""`fab verify` says on which kernels each engine runs, and whether its packed weights are as they were made."""

from typing import Any

from agent.protocol import KernelsAnswer
from agent.running import KernelsReport, PackedWeights
from build.check import Check
from build.deploy.diff import Desired
from build.deploy.verify import kernels_checks
from build.progress import Reporter
from build.remote.command import Command, Result
from build.remote.host import Host
from build.remote.target import Target
from tests.support.hosts import DESCRIPTION, RELEASE

MAPPED = KernelsReport(
    "sve2", {"linear_w4": 248, "lm_head": 1}, packed=PackedWeights("mapped", bytes=3 << 30, locked=True)
)
CONVERTED = KernelsReport("sve2", {"axion_w4": 128}, packed=PackedWeights("converted", reason="the disk is full"))
FILES = {"state/alpha/packed/model0-0.packed": 3 << 30}


class Answering:
    """A host whose agent gives one answer."""

    def __init__(self, answer: KernelsAnswer | None) -> None:
        self._answer = answer

    def run(self, command: Command, on_line: Any = None) -> Result:
        if self._answer is None:
            return Result(status=1, stdout="", stderr="no such verb")
        return Result(status=0, stdout=self._answer.to_json() + "\n", stderr="")

    def open(self, command: Command) -> Any:
        raise AssertionError(f"nothing stays open here, got {command.what}")


def checks(answer: KernelsAnswer | None) -> list[Check]:
    target = Target(name="main", root="/opt/axion", runner="systemd", python="python3")
    host = Host(target, Answering(answer), Reporter())
    return list(kernels_checks(host, Desired.described(RELEASE, DESCRIPTION)))


def test_mapped_weights_pass() -> None:
    assert checks(KernelsAnswer({"alpha": MAPPED}, FILES, ())) == [
        Check("kernels: alpha", "pass", "layers: linear_w4 248, lm_head 1; on sve2; packed weights mapped, 3.0 GiB"),
        Check("packed weights", "pass", "1 files, 3.0 GiB: each byte is as it was made"),
    ]


def test_an_engine_that_converts_at_each_start_is_a_warning_with_its_reason() -> None:
    (found,) = checks(KernelsAnswer({"beta": CONVERTED}, {}, ()))
    said = "layers: axion_w4 128; on sve2; packed weights converted, for the disk is full"
    assert found == Check("kernels: beta", "warn", said)


def test_a_damaged_file_fails() -> None:
    (found,) = checks(KernelsAnswer({}, FILES, ("model0-0.packed: w is damaged",)))
    assert found == Check("packed weights", "fail", "model0-0.packed: w is damaged. Remove it, and restart its engine")


def test_an_engine_that_serves_no_more_is_not_told_of() -> None:
    assert checks(KernelsAnswer({"gone": MAPPED}, {}, ())) == []


def test_a_host_without_our_kernels_has_no_such_row() -> None:
    assert checks(KernelsAnswer({}, {}, ())) == []


def test_a_host_that_cannot_tell_fails() -> None:
    (found,) = checks(None)
    assert (found.name, found.verdict) == ("kernels", "fail")


def test_an_engine_without_layers_on_our_kernels_says_so() -> None:
    assert checks(KernelsAnswer({"alpha": KernelsReport("neon", {})}, {}, ())) == [
        Check("kernels: alpha", "pass", "layers: none; on neon")
    ]
