"""This project's own stack, brought up once and put back before each test: the cloud's memory, Pulumi's, the files."""

import copy
import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack

Json = dict[str, Any]
REMEMBERED = (
    *("settings", "resources", "policies", "payloads", "guest_attributes", "contents", "happened", "addresses_given"),
    *("operations", "deletions", "born"),
)
FOLDERS = ("program", "state")
READING = frozenset({"get", "list", "aggregatedList", "wait", "getFromFamily", "getIamPolicy", "access"})


class StandingStack:
    """A stack that is up. A test may do anything to it: the next one finds it as it was."""

    def __init__(self, base: Path, cli: Path, cloud: Cloud, name: str) -> None:
        self.stack = PulumiStack.of_checkout(base, cli, cloud, name=name)
        self.base, self.kept = base, base / "kept"
        self.first_up = self.stack.up()
        self.memory = {part: copy.deepcopy(getattr(cloud.state, part)) for part in REMEMBERED}
        for folder in FOLDERS:
            shutil.copytree(base / folder, self.kept / folder, symlinks=True)

    def put_back(self) -> PulumiStack:
        """Undo what the last test did."""
        cloud = self.stack.cloud
        with cloud.state.lock:
            cloud.state.pending.clear()
            for part, value in self.memory.items():
                setattr(cloud.state, part, copy.deepcopy(value))
        cloud.faults.clear()
        cloud.requests.clear()
        for folder in FOLDERS:
            shutil.rmtree(self.base / folder)
            shutil.copytree(self.kept / folder, self.base / folder, symlinks=True)
        return self.stack


def changes(cloud: Cloud) -> list[str]:
    """Every request that changes something, in order: its method and what it is about."""
    return [
        f"{one['method'].removeprefix('compute.')} {about(one)}"
        for one in cloud.requests
        if one["method"].rpartition(".")[2] not in READING
    ]


def about(request: Json) -> str:
    """The name of what a request makes or changes."""
    path, _, query = request["path"].partition("?")
    body = request["body"]
    named = {pair.partition("=")[0]: pair.partition("=")[2] for pair in query.split("&")}
    found = body.get("name") or body.get("accountId") or body.get("roleId") or named.get("secretId")
    ours = [part for part in path.split("/") if part.startswith(("axion-", "axion_")) and part != "axion-test"]
    return str(found or (ours[-1].partition(":")[0] if ours else "-"))


def host_settings(stack: PulumiStack, **settings: Any) -> None:
    """Change what the stack's file says of its one host."""
    hosts = yaml.safe_load(stack.settings_file.read_text())["config"]["axion:hosts"]
    stack.config("hosts", {"main": {**hosts["main"], **settings}})
