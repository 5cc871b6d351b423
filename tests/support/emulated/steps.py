"""The steps of a rehearsal on an emulated host: what a user types, what it says, and what must then be so."""

import http.client
import json
import os
import subprocess
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.arm.host import REPOSITORY
from tests.support.emulated import served
from tests.support.emulated.controls import CONTROLS, Control, doctored
from tests.support.emulated.pictures import COLOURS, question_about
from tests.support.gcloud_on_cloud import FAB
from tests.support.machines.machine import Machine
from tests.support.rehearsal.transcript import StepError, Transcript
from tests.support.rehearsal.world import end, interrupts_wait

GATE_S = 7200
ANSWER_S = 600.0
# What must have been shown, whatever else a build shows.
GATES = {
    "loads",
    "features",
    "torch_build",
    "acl_probe",
    "matmul",
    "symbols",
    "openmp",
    "selftest",
    "engine",
    "pictures",
}


@dataclass(eq=False, kw_only=True)
class Rehearsal(Transcript):
    """All steps in their order, on one host that has just booted."""

    machine: Machine
    folder: Path
    port: int
    checkout: Path = REPOSITORY

    def run(self) -> None:
        """Raises StepError at the first step that is not as expected."""
        (self.folder / "models.yaml").write_text(yaml.safe_dump(served.document(self.port), sort_keys=False))
        self.fab("Read what its models are", "models-update", "all", expects="awq: /srv/models/awq")
        deploy = ("build-and-deploy", "--engine", "wheel")
        self.fab("Build and deploy", *deploy, "--timeout-s", str(GATE_S), expects=" serves ")
        self.proofs()
        self.fab("Again, with nothing changed", *deploy, expects="Nothing to do")
        self.fab("What runs", "status", expects="all models answered")
        for name, asked in served.expected().items():
            self.question(name, asked)
        self.pictures()
        self.fab("Files, environment, processes and answers are what was deployed", "verify")
        self.fab("End what serves", "stop", expects="Stopped")
        for control in CONTROLS:
            self.control(control)
        with self.step("Switch it off"):
            self.machine.poweroff()

    def fab(self, title: str, task: str, *words: str, expects: str = "") -> str:
        inventory = ("--inventory", str(self.machine.inventory()))
        return self.typed(title, ("fab", task, *inventory, *words), self.popen, end, expects=expects)

    def popen(self, *words: str) -> "subprocess.Popen[str]":
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("AXION_", "FORCE_"))}
        environment |= {"AXION_MODELS": str(self.folder / "models.yaml"), "COLUMNS": "140"}
        with interrupts_wait():
            return subprocess.Popen(
                [FAB, *words[1:]],
                cwd=self.checkout, env=environment, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            )  # fmt: skip

    @property
    def build(self) -> Path:
        """The environment that serves, as this computer sees it."""
        (build,) = (self.machine.root / "opt" / "axion" / "builds").iterdir()
        return build

    def proofs(self, asked: Set[str] = GATES) -> None:
        """Show what the build found, and hold that it was asked for at all."""
        with self.step("What each proof found"):
            manifest = json.loads((self.build / "manifest.json").read_text())
            for proof in manifest["proofs"]:
                self.say(f"{proof['verdict']:4} {proof['name']}: {proof['evidence']}")
            passed = {proof["name"] for proof in manifest["proofs"] if proof["verdict"] == "pass"}
            if missed := sorted(asked - passed):
                raise StepError(f"proofs: not passed: no {', '.join(missed)}.")

    def question(self, name: str, asked: dict[str, Any]) -> None:
        with self.step(f"Ask {name}"):
            answer = self.ask(name, asked["question"], tokens=asked["tokens"])
            self.say(f"{asked['question']} -> {answer!r}; float32 on this computer says {asked['starts']!r}")
            if not answer.startswith(asked["starts"]):
                raise StepError(f"{name}: expected {asked['starts']!r}, got {answer!r}.")

    def pictures(self) -> None:
        with self.step("Show it pictures"):
            told = {name: self.ask(served.PICTURES, question_about(name), tokens=8) for name in COLOURS}
            again = self.ask(served.PICTURES, question_about("red"), tokens=8)
            for colour, answer in told.items():
                self.say(f"{colour} -> {answer!r}")
            if told["red"] == told["white"] or again != told["red"]:
                raise StepError(f"pictures: expected two answers, and one of them again, got {told} and {again!r}.")

    def ask(self, name: str, content: Any, *, tokens: int) -> str:
        """Through the gateway, which a host that shares our network has on our loopback."""
        body = {"model": name, "messages": [{"role": "user", "content": content}], "temperature": 0}
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            headers = {"Content-Type": "application/json"}
            connection.request("POST", "/v1/chat/completions", json.dumps({**body, "max_tokens": tokens}), headers)
            response = connection.getresponse()
            said = response.read()
        except OSError as error:
            raise StepError(f"{name}: no answer: {error}.") from None
        finally:
            connection.close()
        if response.status != 200:
            raise StepError(f"{name}: expected an answer, got {response.status} {said[:500]!r}.")
        answer: str = json.loads(said)["choices"][0]["message"]["content"]
        return answer

    def control(self, control: Control) -> None:
        """Doctor a copy of the environment: its proofs have to notice."""
        with self.step(f"The proof of the proofs: {control.what}"):
            proofs = doctored(self.machine, self.build, control)
            for proof in proofs:
                self.say(f"{proof.verdict} {proof.name}: {proof.evidence}")
            failed = [proof for proof in proofs if proof.verdict == "fail"]
            seen = {proof.name for proof in failed if control.reasons[proof.name] in proof.evidence}
            if missed := sorted(control.reasons.keys() - seen):
                raise StepError(f"{control.what}: expected to be noticed, got another verdict of {', '.join(missed)}.")
