"""Run __main__.py under Pulumi's mocks, in a process of its own, and keep what it asked the engine for.

Mocks show inputs and options. Whether Google would take them, and what order things happen in, only the real engine
against the cloud of tests/support/fakes shows.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Registered:
    """One resource as the program asked for it."""

    type: str
    name: str
    parent: str
    inputs: dict[str, Any]
    protect: bool
    delete_before_replace: bool
    ignore_changes: list[str]
    dependencies: list[str]
    retain_on_delete: bool


@dataclass(frozen=True, slots=True)
class Recording:
    """Everything one run of the program did."""

    exit_code: int
    resources: list[Registered]
    outputs: dict[str, Any]
    errors: str

    def of_type(self, kind: str) -> list[Registered]:
        """Google's resources by the last word of their type, such as Instance."""
        return [each for each in self.resources if each.type.startswith("gcp:") and each.type.endswith(f":{kind}")]

    def one(self, kind: str) -> Registered:
        (found,) = self.of_type(kind)
        return found

    def named(self, name: str) -> Registered:
        (found,) = [each for each in self.resources if each.name == name]
        return found


def config_of(stack: str) -> dict[str, Any]:
    """The configuration of one of the example stacks."""
    data: dict[str, Any] = yaml.safe_load((REPOSITORY / f"Pulumi.{stack}.yaml").read_text())["config"]
    return data


def run_program(config: Mapping[str, Any], *, stack: str = "prod", secrets: tuple[str, ...] = ()) -> Recording:
    """Run the program with a configuration as the stack's file would hold it."""
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    request = json.dumps({"stack": stack, "values": values, "secrets": list(secrets)})
    with tempfile.TemporaryDirectory() as directory:
        answer = Path(directory) / "answer.json"
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.pulumi_program", request, str(answer)],
            cwd=REPOSITORY, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        found = json.loads(answer.read_text()) if answer.exists() else {"resources": [], "outputs": {}}
    resources = [Registered(**each) for each in found["resources"]]
    return Recording(done.returncode, resources, found["outputs"], done.stderr)


def main(request: str, answer: str) -> None:
    """The other process."""
    import runpy  # noqa: PLC0415 - only here

    import pulumi  # noqa: PLC0415 - the test process stays free of Pulumi's global state
    from pulumi.runtime import mocks, rpc, set_all_config, set_mocks  # noqa: PLC0415 - the same

    asked = json.loads(request)
    resources: list[dict[str, Any]] = []
    outputs: dict[str, Any] = {}

    class Cloud(mocks.Mocks):
        def call(self, args: mocks.MockCallArgs) -> Any:
            raise AssertionError(f"the program asks the cloud for {args.token}")

        def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
            name = args.inputs.get("name", f"made-{args.name}")
            made = {**args.inputs, "name": name, "selfLink": f"https://cloud/{name}", "email": f"{args.name}@cloud"}
            made |= {"instanceId": "4711", "uniqueId": "1047", "member": f"serviceAccount:{args.name}@cloud"}
            if args.typ.endswith(":Instance"):
                made["networkInterfaces"] = [{**made["networkInterfaces"][0], "networkIp": "10.20.0.2"}]
            if args.typ.endswith(":Address"):
                made["address"] = "203.0.113.77"
            if args.typ.endswith(":Secret"):  # Google's name of it, which programs take apart
                return f"projects/the-project/secrets/{args.inputs['secretId']}", made
            return f"id-of-{args.name}", made

    class Monitor(mocks.MockMonitor):
        def RegisterResource(self, request: Any) -> Any:
            if request.type != "pulumi:pulumi:Stack":
                resources.append(
                    {
                        "type": request.type,
                        "name": request.name,
                        "parent": request.parent.rpartition("::")[2],
                        "inputs": rpc.deserialize_properties(request.object),
                        "protect": bool(request.protect),
                        "delete_before_replace": request.deleteBeforeReplace,
                        "ignore_changes": list(request.ignoreChanges),
                        "dependencies": sorted(each.rpartition("::")[2] for each in request.dependencies),
                        "retain_on_delete": bool(request.retainOnDelete),
                    }
                )
            return super().RegisterResource(request)  # type: ignore[no-untyped-call] # Pulumi left it untyped

    cloud = Cloud()
    set_mocks(cloud, project="axion", stack=asked["stack"], preview=False, monitor=Monitor(cloud))
    set_all_config(asked["values"], asked["secrets"])

    def export(name: str, value: Any) -> None:
        pulumi.Output.from_input(value).apply(lambda known: outputs.update({name: known}))

    pulumi.export = export

    @pulumi.runtime.test  # type: ignore[untyped-decorator] # Pulumi left it untyped
    def program() -> None:
        runpy.run_path(".")

    program()
    Path(answer).write_text(json.dumps({"resources": resources, "outputs": outputs}, default=str))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
