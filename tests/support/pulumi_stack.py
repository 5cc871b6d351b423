"""The real Pulumi CLI with a backend of its own, on the small cloud through the stand-in provider.

`PulumiStack.create(tmp_path, cli, cloud, program)` for a program that the test wrote, `PulumiStack.of_checkout(...)`
for this project's own. The fixtures `pulumi_cli` and `cloud` are in conftest. Stacks share only the unpacked CLI.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.fakes.cloud.server import Cloud
from tests.support.ran import Ran
from tests.support.requirements.tools import PULUMI, find

Json = dict[str, Any]
REPOSITORY = Path(__file__).parents[2]
PROVIDER = REPOSITORY / "tests" / "support" / "fakes" / "provider"
HOW_TO_GET_IT = PULUMI.advice
PROGRAM_PARTS = ("Pulumi.yaml", "__main__.py", "infra", "agent", "deployment", "templates", "examples", "gateway",
                 "models.yaml", "models.lock.json")  # fmt: skip
TIMEOUT_S = 120.0
PASSPHRASE = "only-for-tests"


def find_cli() -> Path | None:
    """The folder of a Pulumi CLI: on PATH, or unpacked from an archive. `make test` brings one."""
    return find(PULUMI)


@dataclass(eq=False, kw_only=True)
class PulumiStack:
    """One program, one stack, one backend."""

    folder: Path
    cli: Path
    cloud: Cloud
    name: str = "dev"
    more_environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def create(cls, base: Path, cli: Path, cloud: Cloud, program: str, *, name: str = "dev") -> "PulumiStack":
        """A stack for a program that the test wrote, with project and zone set."""
        stack = cls(folder=base / "program", cli=cli, cloud=cloud, name=name)
        stack.folder.mkdir(parents=True)
        options = {"toolchain": "pip", "virtualenv": sys.prefix}
        project = {"name": "axion", "runtime": {"name": "python", "options": options}}
        (stack.folder / "Pulumi.yaml").write_text(yaml.safe_dump(project))
        stack.write(program)
        return stack.begin()

    @classmethod
    def of_checkout(cls, base: Path, cli: Path, cloud: Cloud, *, name: str = "dev") -> "PulumiStack":
        """A stack for a copy of this project's own program, with its example stack file if there is one."""
        stack = cls(folder=base / "program", cli=cli, cloud=cloud, name=name)
        stack.folder.mkdir(parents=True)
        for part in (*PROGRAM_PARTS, f"Pulumi.{name}.yaml"):
            source = REPOSITORY / part
            if source.is_dir():
                shutil.copytree(source, stack.folder / part, ignore=shutil.ignore_patterns("__pycache__"))
            elif source.is_file():
                shutil.copy2(source, stack.folder / part)
        (stack.folder / ".venv").symlink_to(sys.prefix)
        return stack.begin()

    def write(self, program: str) -> None:
        """Replace the program."""
        (self.folder / "__main__.py").write_text(program)

    @property
    def environment(self) -> dict[str, str]:
        """What the CLI needs: no account, no network, our provider first on PATH."""
        base = self.folder.parent
        (base / "state").mkdir(exist_ok=True)
        cleared = {key: value for key, value in os.environ.items() if not key.startswith(("PULUMI_", "GOOGLE_"))}
        return {
            **cleared,
            "PATH": os.pathsep.join((str(PROVIDER), str(self.cli), os.environ["PATH"])),
            "PULUMI_BACKEND_URL": f"file://{base / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
            "PULUMI_HOME": str(base / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "1",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
            "AXION_PYTHON": sys.executable,
            "AXION_FAKE_CLOUD": self.cloud.url,
            **self.more_environment,
        }

    def command(self, *arguments: str) -> list[str]:
        """A command line of the CLI."""
        return [str(self.cli / "pulumi"), "--non-interactive", "--color=never", "--logtostderr=false", *arguments]

    def run(self, *arguments: str, check: bool = True, timeout_s: float = TIMEOUT_S) -> Ran:
        """Run the CLI in the program's folder."""
        ran = Ran.of(self.start(*arguments, stderr=subprocess.PIPE), timeout_s)
        assert not check or ran.status == 0, f"pulumi {' '.join(arguments)}: exit {ran.status}\n{ran.said}"
        return ran

    def start(self, *arguments: str, stderr: int = subprocess.STDOUT) -> subprocess.Popen[str]:
        """Start the CLI and leave it running, in a process group of its own, to be killed by the test."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )

    def begin(self) -> "PulumiStack":
        """Make the stack, and say where it is."""
        for key, value in (("project", self.cloud.state.settings.project), ("zone", "us-central1-a")):
            self.config(f"gcp:{key}", value)
        self.config("gcp:region", "us-central1")
        self.run("stack", "init", self.name)
        return self

    @property
    def settings_file(self) -> Path:
        """Pulumi.<stack>.yaml."""
        return self.folder / f"Pulumi.{self.name}.yaml"

    def config(self, key: str, value: object, *, is_secret: bool = False) -> "PulumiStack":
        """Set one value: secrets through the CLI, which encrypts them, all others in the file, which is faster."""
        if is_secret:
            self.run("config", "set", "--secret", key, str(value))
            return self
        document = yaml.safe_load(self.settings_file.read_text()) if self.settings_file.is_file() else None
        settings = document or {}
        settings.setdefault("config", {})[key if ":" in key else f"axion:{key}"] = value
        self.settings_file.write_text(yaml.safe_dump(settings, sort_keys=False))
        return self

    def up(self, *arguments: str, check: bool = True) -> Ran:
        """`pulumi up`, without asking."""
        return self.run("up", "--yes", "--skip-preview", "--stack", self.name, *arguments, check=check)

    def preview(self, *arguments: str, check: bool = True) -> Ran:
        """`pulumi preview` as text; with `--json` as `arguments` for programs."""
        return self.run("preview", "--stack", self.name, *arguments, check=check)

    def refresh(self, *arguments: str, check: bool = True) -> Ran:
        """`pulumi refresh`, without asking."""
        return self.run("refresh", "--yes", "--skip-preview", "--stack", self.name, *arguments, check=check)

    def destroy(self, *arguments: str, check: bool = True) -> Ran:
        """`pulumi destroy`, without asking."""
        return self.run("destroy", "--yes", "--skip-preview", "--stack", self.name, *arguments, check=check)

    def plan(self, *arguments: str) -> dict[str, str]:
        """What a preview would change, by the resource's name: create, update, replace, delete ..."""
        steps = json.loads(self.preview("--json", *arguments).stdout).get("steps", [])
        return {step["urn"].rpartition("::")[2]: step["op"] for step in steps if step["op"] != "same"}

    def outputs(self, *, show_secrets: bool = False) -> Json:
        """The stack's outputs."""
        shown = self.run("stack", "output", "--json", *(["--show-secrets"] if show_secrets else []))
        found: Json = json.loads(shown.stdout)
        return found

    def export(self) -> Json:
        """The checkpoint as the CLI exports it, secrets encrypted."""
        found: Json = json.loads(self.run("stack", "export").stdout)
        return found

    def resources(self) -> Mapping[str, Json]:
        """The checkpoint's resources by name."""
        deployment = self.export()["deployment"]
        return {one["urn"].rpartition("::")[2]: one for one in deployment.get("resources", [])}
