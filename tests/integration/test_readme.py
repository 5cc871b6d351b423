"""README.md as a newcomer types it: every command of its first two parts runs, in their order, on stand-in engines.

Only `make demo` is not typed: what it does besides deploying is a test with real vLLM. Its file is a stand-in's, the
hub is a stand-in, and ports are free ones.
"""

import asyncio
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fakes.engine_environment import REPOSITORY
from tests.support.fakes.hub import FakeHub, Repository, fake_hub
from tests.support.hollow import TINY, repository_files
from tests.support.live_deployment import LiveDeployment
from tests.support.local_deployment import LocalDeployment
from tests.support.web import free_port
from tests.unit.gateway.test_keys import FIRST, Release, engine, release, served

__all__ = ["release"]
README = (REPOSITORY / "README.md").read_text()


def part(heading: str) -> str:
    return README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def commands(heading: str) -> list[str]:
    """The indented lines of a part, without their comments; a line that ends in a backslash goes on."""
    text = re.sub(r"^```.*?^```$", "", part(heading), flags=re.MULTILINE | re.DOTALL)
    shown = re.findall(r"^    (?! )((?:.*\\\n)*.*)$", text, re.MULTILINE)
    return [re.sub(r"\s+# .*$", "", each).strip() for each in shown]


def snippet() -> str:
    (code,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return str(code)


def run_python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)


class Newcomer(LocalDeployment):
    """A checkout whose demonstration is made of stand-ins, and a shell in it."""

    def __init__(self, base: Path, hub: FakeHub) -> None:
        super().__init__(base)
        self.hub, self.checkout, self.ports = hub, base / "checkout", {"8080": str(self.port), "8090": str(free_port())}
        self.models = {"smollm2": self.models["alpha"], "tiny_qwen2": self.models["beta"]}
        for model in self.models.values():
            model["weights"]["path"] = str(base / model["weights"]["path"])
        self.file = self.checkout / "examples" / "demo" / "models.yaml"
        self.file.parent.mkdir(parents=True)
        self.write()
        (self.checkout / "fabfile.py").symlink_to(REPOSITORY / "fabfile.py")
        (self.checkout / ".venv").symlink_to(sys.prefix)

    def with_free_ports(self, text: str) -> str:
        for port, free in self.ports.items():
            text = text.replace(port, free)
        return text

    def type(self, line: str, said: str = "") -> str:
        """Type a line in a shell of its own at a terminal, answer, and return all that the screen shows."""
        line = self.with_free_ports(line)
        drop = ("AXION_", "COLUMNS", "FORCE_COLOR", "HF_")
        env = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
        env |= {"AXION_LOCAL_ROOT": str(self.root), "HF_ENDPOINT": self.hub.url, "PYTHONPATH": str(REPOSITORY)}
        env |= {"NO_COLOR": "1", "TERM": "dumb"}
        screen, keyboard = pty.openpty()
        command = f"cd {self.checkout} && source .venv/bin/activate && {line}"
        process = subprocess.Popen(
            ("bash", "-c", command), env=env, stdin=keyboard, stdout=keyboard, stderr=keyboard, start_new_session=True
        )
        os.close(keyboard)
        os.write(screen, said.encode())
        shown = b""
        try:
            while chunk := os.read(screen, 65536):
                shown += chunk
        except OSError:
            pass  # the terminal is gone with the last process that had it
        status = process.wait(60)
        os.close(screen)
        text = shown.decode()
        assert status == 0, f"{line}: {status} {text}"
        assert "Traceback" not in text
        return text


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    with fake_hub() as hub:
        files = {name: content[:] for name, content in repository_files(TINY).items()}
        hub.repositories["Qwen/Qwen2.5-0.5B-Instruct"] = Repository("c" * 40, files)
        host = Newcomer(tmp_path_factory.mktemp("n"), hub)
        try:
            yield host
        finally:
            host.end()


def test_every_command_of_the_first_two_parts_does_what_is_said_of_it(newcomer: Newcomer) -> None:
    typed = [*commands("Two commands"), *commands("The first hour")]
    assert [each.split()[0] for each in typed] == ["make", "make", "curl", "source", *["fab"] * 2, "sed", *["fab"] * 5]
    demo, demo_stop, curl, activate, *rest = typed
    assert demo == "make demo"
    assert demo_stop == "make demo-stop"
    makefile = (REPOSITORY / "Makefile").read_text()
    assert re.search(r"^demo-stop: .*\n\t@\$\(BIN\)/fab stop$", makefile, re.MULTILINE)
    newcomer.type("fab build-and-deploy --models examples/demo/models.yaml")  # in the place of make demo
    assert '"content":"smollm2 smollm2 smollm2 "' in newcomer.type(curl).replace('": ', '":')
    assert activate == "source .venv/bin/activate"  # which each of the others begins with
    shown = {
        "fab status": "smollm2",
        "fab logs smollm2": "stand-in: loading smollm2",
        "sed": "",
        "fab models-add": "qwen",
        "fab plan": "start qwen",
        "fab build-and-deploy": "serves smollm2, tiny_qwen2, qwen at http://127.0.0.1:8090/v1",
        "fab stop": "`fab build-and-deploy --models examples/demo/models.yaml` starts it again.",
        "fab uninstall": "this computer: removed",
    }
    for line, (begins, words) in zip(rest, shown.items(), strict=True):
        assert line.startswith(begins)
        said = newcomer.type(line, "yes\n" if begins == "fab uninstall" else "")
        assert newcomer.with_free_ports(words) in said
        if begins == "fab status":
            asked = run_python(newcomer.with_free_ports(snippet()))
            assert (asked.stdout, asked.stderr) == ("smollm2 smollm2 smollm2 \n", "")
    assert newcomer.processes() == []
    assert [path.name for path in newcomer.root.iterdir()] == ["builds"]  # which was there before, as what is in it


async def test_the_python_is_answered_where_keys_are_asked_for_with_one_of_them(release: Release) -> None:
    await release.bring_keys()
    async with served(release, engine()) as (_, url):
        code = snippet().replace("http://127.0.0.1:8080", url).replace('"smollm2"', '"alpha"')
        refused = await asyncio.to_thread(run_python, code)
        assert "AuthenticationError: Error code: 401" in refused.stderr
        right = await asyncio.to_thread(run_python, code.replace('"none"', f'"{FIRST}"'))
        assert (right.returncode, right.stderr) == (0, "")
        assert right.stdout.strip()


@pytest.mark.engine
def test_the_python_is_answered_by_the_real_model(live: LiveDeployment) -> None:
    asked = run_python(snippet().replace("http://127.0.0.1:8080", live.url))
    assert "Paris" in asked.stdout, asked.stderr


def test_the_first_screen_says_what_it_is_and_ends_in_an_answer() -> None:
    """Of a terminal with fifty lines."""
    first = README.splitlines()[:28]
    assert [line for line in first if line.startswith("    make demo ")]
    assert [line for line in first if line.startswith("    curl http://127.0.0.1:8080/v1/chat/completions")]
