"""What the planner reads of a report: literals of reports whose samples are known."""

import pytest

from build.benchmark.figures import load_of
from build.benchmark.points import points_of
from build.errors import DeployError
from deployment.capacity.calibration import Point
from tests.support.bench_reports import cell, generated, report

ALONE = load_of("alpha", generated([1.5] * 4))


def test_a_model_alone_with_new_prompts_is_a_point() -> None:
    found = points_of(report(cell([ALONE]), cell([ALONE], concurrency=4)), "report.json")
    assert found.vcpus == 2
    assert [point.concurrency for point in found.points] == [1, 4]
    assert found.points[0] == Point(
        model="alpha", concurrency=1, prompt_tokens=100, output_tokens=11, tokens_per_s=44 / 6, ttft_s=0.5
    )


def test_what_is_not_modelled_or_doubtful_is_no_point() -> None:
    doubtful = load_of("alpha", generated([1.5] * 4, counted=43))
    others = (
        cell([ALONE], is_warm=True),
        cell([ALONE, load_of("beta", generated([1.5] * 4))]),
        cell([doubtful]),
        *(cell([ALONE]).model_copy(update={"profile": name}) for name in ("code", "long-shared", "pictures")),
    )
    assert len(points_of(report(cell([ALONE]), *others), "report.json").points) == 1
    with pytest.raises(DeployError, match=r"^report\.json: no load of one model alone"):
        points_of(report(*others), "report.json")


def test_a_machine_without_a_count_of_processors_is_refused() -> None:
    whole = report()
    unknown = whole.model_copy(update={"machine": whole.machine.model_copy(update={"processor": {}})})
    with pytest.raises(DeployError, match=r"^report\.json: machine\.processor: CPU\(s\) is no count, got nothing"):
        points_of(unknown, "report.json")
