"""The steps of a rehearsal: each a command that a user types, shown as it runs, and what must then be so."""

import time
from dataclasses import dataclass

import yaml

from tests.support.deployments import write_models
from tests.support.rehearsal.leftovers import leftovers
from tests.support.rehearsal.served import Served
from tests.support.rehearsal.transcript import StepError, Transcript
from tests.support.rehearsal.way_in import WayIn, ask
from tests.support.rehearsal.world import World, end

INSTANCE = "axion-dev-main"
DEPLOY = ("fab", "build-and-deploy", "--stack", "dev")
IDLE = ("fab", "idle-policy", "--stack", "dev")
# True of the stand-in only, and said by every command.
NOISE = "using pulumi-resource-gcp from $PATH"
DATA_DISK = "axion-dev-data-main"
IDLE_LIMIT_S = 30 * 60
TIMER_S = 100.0
"""The idle timer looks once a minute, and its system needs a moment to end."""
LOAD_S = 240.0


@dataclass(eq=False, kw_only=True)
class Rehearsal(Transcript):
    """All steps in their order, on one world."""

    world: World
    served: Served

    @property
    def host(self) -> WayIn:
        return WayIn(world=self.world, instance=INSTANCE)

    def run(self) -> None:
        """Raises StepError at the first step that is not as expected."""
        self._write_models()
        up = ("pulumi", "up", "--yes", "--skip-preview", "--suppress-progress", "--stack", "dev")
        self.type("Bring the host up", *up, expects="23 created")
        with self.step("It boots and runs its startup script"):
            self.host.wait_for_keys()
            self.served.prepare(self.host)
        self.type("Build and deploy", *DEPLOY, expects=self.served.model)
        self.question("Ask it")
        self.type("Again, with nothing changed", *DEPLOY, expects="Nothing to do")
        self.type("What runs", "fab", "status", "--stack", "dev", expects=self.served.model)
        self.type("When it will stop by itself", *IDLE, expects="RUNNING")
        self.nobody_comes()
        self.type("It has stopped", *IDLE, expects="TERMINATED")
        self.type("Start it again", "fab", "start", "--stack", "dev", expects=self.served.model)
        self.question("It serves again, and nobody deployed")
        self.world.stack.config("deleteData", [DATA_DISK])
        self.type("Name the data disk, or it would stay", *up, expects="1 updated")
        destroy = ("pulumi", "destroy", "--yes", "--skip-preview", "--suppress-progress", "--stack", "dev")
        self.type("Take it down", *destroy, expects="23 deleted")
        census = ("fab", "census", "--stack", "dev", "--expect-empty")
        self.type("Ask Google, not Pulumi, what is left", *census, expects="nothing left")
        with self.step("Ask the kernel what is left on this computer"):
            found = leftovers(self.world.folder)
            if found:
                raise StepError("still on this computer: " + "; ".join(found))
            print("    nothing: no process, mount, network, loop device, control group or file of the host")

    def type(self, title: str, *words: str, expects: str = "") -> None:
        """Run what a user would type; everything it says is shown as it comes."""
        self.typed(title, words, self.world.popen, end, expects=expects, noise=NOISE)

    def question(self, title: str) -> None:
        """Ask through a tunnel, as the stack's outputs say."""
        served = self.served
        with self.step(title, f"gcloud compute ssh {INSTANCE} --tunnel-through-iap -- -N -L 8080:localhost:8080"):
            self.host.wait_for_keys()
            deadline = time.monotonic() + LOAD_S
            while True:
                try:
                    with self.host.forwarded(8080) as port:
                        answer = ask(port, served.model, served.question, within_s=10)
                    break
                except AssertionError as error:
                    if time.monotonic() > deadline:
                        raise StepError(str(error)) from None
            print(f"    {served.model}: {served.question} -> {answer.strip()}", flush=True)
            if served.expects not in answer:
                raise StepError(f"{title}: expected {served.expects!r}, got {answer!r}.")

    def nobody_comes(self) -> None:
        """Let half an hour pass on the host's clock of use, and wait for its own timer to stop it."""
        with self.step("Nobody comes for half an hour (its last use is put back; then its own timer looks)"):
            before = len(self.world.cloud.requests)
            self.host.run(
                "systemctl start axion-idle-stop.service\n"  # it counts our last request as use
                f"touch --no-create --date='-{IDLE_LIMIT_S + 60} seconds' /run/axion/awake\n"
                'python3 -c \'import json; path = "/run/axion/idle.json"; record = json.load(open(path)); '
                f'record["used_s"] -= {IDLE_LIMIT_S + 60}; json.dump(record, open(path, "w"))\''
            )
            deadline = time.monotonic() + TIMER_S
            while self.host.status == "RUNNING" and time.monotonic() < deadline:
                time.sleep(0.5)
            stops = [one for one in self.world.cloud.requests[before:] if one["method"] == "compute.instances.stop"]
            while self.host.status == "STOPPING" and time.monotonic() < deadline + TIMER_S:
                time.sleep(0.5)
            if self.host.status != "TERMINATED" or len(stops) != 1:
                raise StepError(f"idle stop: expected one stop by the host, got {len(stops)} and {self.host.status}.")
            print("    the host asked Google to stop it, with its own token, and is off", flush=True)

    def _write_models(self) -> None:
        """Have the stack's file name the rehearsal's models, as a user's would name theirs."""
        folder = self.world.stack.folder
        write_models(folder / "models.yaml", self.served.document(), self.served.checkpoints)
        hosts = yaml.safe_load(self.world.stack.settings_file.read_text())["config"]["axion:hosts"]
        self.world.stack.config("hosts", {"main": {**hosts["main"], "models": "models.yaml"}})
