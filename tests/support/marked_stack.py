"""A stack whose data disk carries a marker, and what a host does with the disk that it finds."""

import random
from dataclasses import dataclass, field
from typing import Any

from tests.support.fakes.cloud.server import Cloud
from tests.support.gcloud_on_cloud import fab, recovery_environment
from tests.support.pulumi_stack import PulumiStack

Json = dict[str, Any]
MARKER = "what a person cannot have again"
DISK, VM = "axion-dev-data-main", "axion-dev-main"


@dataclass(kw_only=True)
class Life:
    """One stack, what became of it, and where its marker is."""

    stack: PulumiStack
    chance: random.Random = field(default_factory=random.Random)
    said: str = ""
    """What the last command printed: advice stands in it."""
    steps: list[str] = field(default_factory=list)
    is_written: bool = False

    @property
    def cloud(self) -> Cloud:
        return self.stack.cloud

    def fab(self, *words: str) -> int:
        environment = recovery_environment(self.stack)
        done = fab(*words, project=self.stack.folder, environment=environment, timeout_s=300)
        self.said = done.stdout + done.stderr
        assert "Traceback" not in self.said, self.said
        return done.returncode

    def pulumi(self, *words: str) -> int:
        ran = self.stack.run(*words, "--stack", "dev", check=False)
        self.said = ran.said
        return ran.status

    def boot(self) -> None:
        """What a host does with the disk that it finds: nothing on it means a new one."""
        for path, machine in self.cloud.state.under("projects/axion-test", "instances"):
            if machine["status"] != "RUNNING" or not path.endswith(f"/{VM}"):
                continue
            for attached in machine["disks"]:
                if attached["deviceName"] == "axion-data":
                    self._found(self.cloud.state.resources[attached["source"].partition("/v1/")[2]])

    def _found(self, disk: Json) -> None:
        contents = self.cloud.state.contents
        assert not self.is_written or contents.get(disk["id"]) == MARKER, f"a host that had data boots empty: {disk}"
        contents[disk["id"]] = MARKER
        self.is_written = True

    def check(self) -> None:
        """Whether the disk that Pulumi knows still has it. Hours pass: Google limits what one may do in one."""
        self.cloud.state.settings.days_passed += 0.3
        self.boot()
        if not self.is_written:
            return
        there = {disk["id"]: path for path, disk in self.cloud.state.under("projects/axion-test", "disks")}
        marked = [path for number, path in there.items() if self.cloud.state.contents.get(number) == MARKER]
        assert marked, f"the marker is lost\n{self.told()}"
        known = self.stack.resources().get("models-data-main")
        if known is not None:
            path = f"projects/axion-test/zones/{known['outputs']['zone'].rpartition('/')[2]}/disks/{DISK}"
            assert path in marked, f"Pulumi knows an empty disk: {path}, marked {marked}\n{self.told()}"

    def told(self) -> str:
        return "\n".join([*self.steps, self.said])
