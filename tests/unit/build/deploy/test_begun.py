"""An environment that somebody has begun: what follows it or begins it again is not refused for what it takes."""

from pathlib import Path
from typing import Any

import pytest

from agent.protocol import JobState
from build.deploy.prepare import Prepared, prepare
from build.errors import DeployError
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor, OnLine
from build.remote.target import Target
from deployment.quantities import GIB
from tests.support.deployments import document, model, write_models
from tests.support.hosts import empty_facts, system
from tests.unit.build.deploy.test_preflight import GOOD


class Busy(LocalExecutor):
    """A host on which a compilation takes most of the memory and of the disk."""

    def __init__(self, *, running: str = "", unfinished: dict[str, int] | None = None, **changes: Any) -> None:
        self.running = running
        found = {"checkpoints": {"alpha": GOOD}, "unfinished_builds": unfinished or {}, **changes}
        self.facts = empty_facts(**found).to_json()

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        job = JobState("running" if self.running else "none", self.running)
        answers = {"look at the host": self.facts, "look for the job environment": job.to_json()}
        return Result(status=0, stdout=answers.get(command.what, ""), stderr="")


def prepared_on(host: Busy, folder: Path) -> Prepared:
    file = folder / "models.yaml"
    write_models(file, document({"alpha": model()}))
    target = Target(name="main", root="/opt/axion", runner="systemd", python="/usr/bin/python3", user="axion")
    return prepare(file, target, host)


def test_a_running_compilation_is_followed_whatever_memory_and_disk_it_has_taken(tmp_path: Path) -> None:
    taken: dict[str, Any] = {"system": system(available_bytes=3 * GIB), "disk_free_bytes": GIB}
    digest = prepared_on(Busy(), tmp_path).recipe.digest
    assert prepared_on(Busy(running=digest, **taken), tmp_path).diff.is_build
    for other in ("", "another"):
        with pytest.raises(DeployError) as caught:
            prepared_on(Busy(running=other, **taken), tmp_path)
        memory, disk = str(caught.value).splitlines()
        assert memory.startswith("main: too little free memory to compile, got 3.0 GiB")
        assert disk.startswith("main: too little free disk, got 1.0 GiB")


def test_what_is_cleared_before_a_build_counts_as_free(tmp_path: Path) -> None:
    digest = prepared_on(Busy(), tmp_path).recipe.digest
    assert prepared_on(Busy(unfinished={digest: 4 * GIB}, disk_free_bytes=6 * GIB), tmp_path).diff.is_build
    with pytest.raises(DeployError, match=r"too little free disk, got 6\.0 GiB"):
        prepared_on(Busy(unfinished={"another": 4 * GIB}, disk_free_bytes=6 * GIB), tmp_path)
