"""Many questions, one reason: it is told once, whoever asks."""

from pathlib import Path
from typing import Any

import pytest

from build.cloud.gcloud import Gcloud, GcloudError, in_parallel, told_once
from build.cloud.kinds import KINDS
from build.errors import DeployError
from build.remote.executor import LocalExecutor
from tests.support.replayed_gcloud import ReplayedGcloud, refuses, says
from tests.unit.build.cloud.test_census import taken

LOGIN = "ERROR: (gcloud.compute.disks.list) You do not currently have an active account selected.\nPlease run:\n"


@pytest.fixture
def gcloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReplayedGcloud:
    return ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch)


def test_a_census_of_somebody_who_is_not_logged_in_says_so_once(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(refuses("", LOGIN))
    with pytest.raises(DeployError) as caught:
        taken()
    assert caught.value.problems == (
        "list alert policies and 15 other questions: not logged in, got You do not currently have an active account "
        "selected. Run `gcloud auth login` and `gcloud auth application-default login`.",
    )


def test_a_missing_gcloud_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeployError) as caught:
        taken()
    (problem,) = caught.value.problems
    assert problem == (
        "list alert policies and 15 other questions: gcloud is not on PATH. "
        "Install it: https://cloud.google.com/sdk/docs/install."
    )


def test_different_reasons_and_answers_all_stay(gcloud: ReplayedGcloud) -> None:
    gcloud.answers(
        says("disks list", ["a disk"]),
        refuses("routers list", "ERROR: Required 'compute.routers.list' permission for 'projects/p'"),
        refuses("", LOGIN),
    )
    google = Gcloud(LocalExecutor(), "p")
    questions = {
        name: lambda name=name: google.ask(f"list {name}", "compute", name, "list")
        for name in ("disks", "routers", "networks", "addresses")
    }
    answers: dict[str, Any] = told_once(in_parallel(questions))
    assert list(answers) == ["disks", "routers", "networks"]
    assert answers["disks"] == ["a disk"]
    assert str(answers["routers"]).startswith("list routers: the account may not do this, got Required")
    assert str(answers["networks"]).startswith("list networks and 1 other question: not logged in, got You do not")
    # Who reads the kind of a refusal can still do so.
    assert [type(answers[name]) for name in ("routers", "networks")] == [GcloudError, GcloudError]
    assert answers["networks"].error.kind.name == "NOT_LOGGED_IN"


def test_kinds_have_plurals_in_english() -> None:
    plurals = [each.plural for each in KINDS]
    assert [plurals[0], plurals[2], plurals[3], plurals[5]] == ["alert policies", "instances", "disks", "addresses"]
    assert [each for each in plurals if each.endswith(("ys", "ss"))] == []
