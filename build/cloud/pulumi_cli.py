"""Drive the `pulumi` command on one stack. Operator tasks never import Pulumi: it takes two seconds and 290 MB."""

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from build.cloud.checkpoint import Checkpoint, Resource
from build.errors import DeployError
from build.remote.command import Command, Result, not_started
from build.remote.executor import Executor
from deployment.document import parse_document, read_text
from deployment.refusals.cloud_errors import CloudError, classify

QUICK_TIMEOUT_S = 60.0
REFRESH_TIMEOUT_S = 900.0
ENDING_TIMEOUT_S = 60.0
# To the next empty line or warning.
ERROR = re.compile(r"^\s*error:.*(?:\n(?!\s*$|\s*warning:|\s*error:).*)*", re.MULTILINE)
ENVIRONMENT = {"PULUMI_SKIP_UPDATE_CHECK": "1", "PULUMI_SKIP_CONFIRMATIONS": "true"}


class PulumiError(DeployError):
    """A call that Pulumi, or its backend, refused."""

    def __init__(self, what: str, error: CloudError) -> None:
        super().__init__(error.problem(what))
        self.error = error


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulumi:
    """The command line, in a project's directory, on one stack."""

    executor: Executor
    directory: Path
    stack: str
    """As a person gave it; Pulumi understands it."""

    @property
    def project(self) -> str:
        """The project's name. Raises where Pulumi.yaml is none."""
        path = self.directory / "Pulumi.yaml"
        data = parse_document(read_text(path), str(path)).data if path.exists() else {}
        name = data.get("name") if isinstance(data, dict) else None
        if not isinstance(name, str):
            what = "names no project" if path.exists() else "not found"
            raise DeployError(f"{path}: {what}. Run it in the checkout.")
        return name

    def backend(self) -> str:
        """The address of the backend that holds the stack's state."""
        return str(json.loads(self._run("ask for Pulumi's backend", "whoami", "--verbose", "--json"))["url"])

    def stacks(self) -> list[str]:
        """Names of the project's stacks."""
        listed = json.loads(self._run("list the stacks", "stack", "ls", "--json"))
        return [str(each["name"]).rpartition("/")[2] for each in listed]

    def output(self, name: str) -> Any:
        """One of the stack's outputs; None for one that there is not, as before the first `pulumi up`."""
        return json.loads(self._run("read the stack's outputs", "stack", "output", "--json", *self._on)).get(name)

    def export(self) -> Checkpoint:
        """The stack's checkpoint; secrets stay encrypted. Needs no lock."""
        return Checkpoint(json.loads(self._run("export the stack's state", "stack", "export", *self._on)))

    def replace_state(self, checkpoint: Checkpoint) -> None:
        """Put a checkpoint in the place of the present one. Pulumi drops pending operations from it."""
        written = json.dumps(checkpoint.document).encode()
        self._run("import the stack's state", "stack", "import", *self._on, stdin=written)

    def refresh(self, urns: Sequence[str]) -> None:
        """Have the provider read these resources, and write what it finds into the state."""
        targets = [word for urn in urns for word in ("--target", urn)]
        self._run(
            "refresh what was pending",
            *("refresh", *self._on, "--yes", "--non-interactive", "--skip-preview", *targets),
            timeout_s=REFRESH_TIMEOUT_S,
        )

    def set_config(self, path: str, value: str) -> None:
        """Set one value in the stack's file; its comments and order stay."""
        self._run(f"set {path}", "config", "set", "--path", path, value, *self._on)

    def unprotect(self, urn: str) -> None:
        """Let the next `up` delete a resource that the program no longer has."""
        self._run("lift a protection", "state", "unprotect", urn, *self._on, "--yes")

    def preview(self) -> Result:
        """`pulumi preview`, as a person reads it."""
        return self._watched("preview", *self._on, "--non-interactive")

    def up(self) -> Result:
        """`pulumi up` without a question, as a person reads it; its own preview comes first."""
        return self._watched("up", *self._on, "--yes", "--non-interactive")

    def planned_creates(self) -> list[Resource]:
        """What the next `up` would create, as the state would hold it; secrets are masked. Needs no lock."""
        words = ("preview", *self._on, "--json", "--non-interactive")
        plan = json.loads(self._run("see what `pulumi up` would do", *words, timeout_s=REFRESH_TIMEOUT_S))
        return [Resource.parse(step["newState"]) for step in plan.get("steps") or () if step["op"] == "create"]

    def adopt(self, resources: Sequence[Mapping[str, str]], parents: Mapping[str, str]) -> None:
        """Take resources that exist into the state: each has type, name, id and parent, a key of `parents`."""
        with tempfile.TemporaryDirectory() as folder:
            listed = Path(folder) / "resources.json"
            listed.write_text(json.dumps({"nameTable": parents, "resources": list(resources)}), encoding="utf-8")
            flags = ("--yes", "--non-interactive", "--skip-preview", "--protect=false", "--generate-code=false")
            self._run(
                "take what exists into the state",
                *("import", *self._on, "--file", str(listed), *flags),
                timeout_s=REFRESH_TIMEOUT_S,
            )

    @property
    def _on(self) -> tuple[str, str]:
        return ("--stack", self.stack)

    def _run(self, what: str, *words: str, stdin: bytes | None = None, timeout_s: float = QUICK_TIMEOUT_S) -> str:
        command = Command(
            argv=("pulumi", *words, "--color=never"),
            what=what,
            cwd=str(self.directory),
            env=ENVIRONMENT,
            stdin=stdin,
            timeout_s=timeout_s,
        )
        result = self.executor.run(command)
        if not result.succeeded:
            error = pulumi_error(result.stderr, result.stdout)
            step = error.next_step.replace("--stack NAME", f"--stack {self.stack}")
            raise PulumiError(what, replace(error, next_step=step))
        return result.stdout

    def _watched(self, *words: str) -> Result:
        """Run it in the foreground: an interrupt reaches it, and it ends as it should, with its state written."""
        try:
            process = subprocess.Popen(
                ("pulumi", *words, "--color=never"),
                cwd=self.directory,
                env={**os.environ, **ENVIRONMENT},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise not_started(f"run `pulumi {words[0]}`", "pulumi", error) from None
        said: list[str] = []
        assert process.stdout is not None, "it is a pipe"
        try:
            _read(process.stdout, said)
        except KeyboardInterrupt:
            _read(process.stdout, said)
            process.wait(ENDING_TIMEOUT_S)
            raise
        return Result(status=process.wait(ENDING_TIMEOUT_S), stdout="".join(said), stderr="")


def _read(stream: IO[str], said: list[str]) -> None:
    for line in stream:
        said.append(line)
        print(line, end="", flush=True)


def pulumi_error(stderr: str, stdout: str) -> CloudError:
    """Say what Pulumi refused. Its own errors begin with `error:` and may be long; what Google said is among them."""
    text = f"{stderr}\n{stdout}"
    if stdout.lstrip().startswith("{"):  # asked for JSON, it says there what it refused
        said = json.loads(stdout).get("diagnostics") or ()
        text = "\n\n".join(f"error: {each['message']}" for each in said if each.get("severity") == "error") or text
    return classify("\n".join(match[0] for match in ERROR.finditer(text)) or text)
