"""Keys: the rendered units run for real, and nobody without a key is answered."""

import asyncio
import base64
import contextlib
import getpass
import json
import os
import re
import secrets
import shlex
import socket
import stat
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from openai import AsyncOpenAI, AuthenticationError

from build.deploy.prepare import gateway_code
from deployment.models.sizing import HostFacts, plan
from deployment.quantities import GIB
from deployment.render.files import Place, render
from tests.support.deployments import deployment, model
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_process import Process
from tests.unit.gateway.test_stage import CHAT

REPOSITORY = Path(__file__).parents[3]
AS_SYSTEMD = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
    "os.execvp(sys.argv[2], sys.argv[2:])"
)
FIRST, SECOND = "sk-first-4b1d-0123456789", "sk-second-77aa-0123456789"


@dataclass(frozen=True)
class Release:
    """A release on disk, and the commands of its units."""

    root: Path
    source: Path

    @property
    def keys_file(self) -> Path:
        return self.root / "run" / "gateway-key-digests"

    @property
    def environment(self) -> dict[str, str]:
        """As the units say: nothing of this checkout but what the release has of it."""
        return {"PYTHONPATH": f"{self.root}/current/lib", "PATH": "/usr/bin:/bin"}

    def command(self, unit: str) -> list[str]:
        """What systemd would start; what is in memory there is in this directory here."""
        text = (self.root / "current" / "systemd" / unit).read_text().replace("/run/axion/", f"{self.root}/run/")
        found = re.search(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
        assert found
        words = shlex.split(found[1])
        return [sys.executable if word.endswith(("/python", "/python3")) else word for word in words]

    async def bring_keys(self) -> tuple[int | None, str]:
        """What gateway-keys.service does."""
        child = await asyncio.create_subprocess_exec(
            *self.command("gateway-keys.service"), stderr=asyncio.subprocess.PIPE, env=self.environment
        )
        said = await asyncio.wait_for(child.communicate(), 20)
        return child.returncode, said[1].decode()


@pytest.fixture
def release(tmp_path: Path) -> Iterator[Release]:
    served = deployment({"alpha": model()})
    source = tmp_path / "etc-keys"
    source.write_text(f"{FIRST}\n\n  {SECOND}\n")
    place = Place(root=str(tmp_path), runner="systemd", user=getpass.getuser(), keys=str(source))
    host = HostFacts(name="host", cores=4, memory_bytes=64 * GIB)
    files = [*render(served, plan(served, host, str(tmp_path)), place, {"alpha": "/m"}), *gateway_code()]
    for file in files:
        path = tmp_path / "current" / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
    (tmp_path / "run").mkdir()
    yield Release(tmp_path, source)


@contextlib.asynccontextmanager
async def served(release: Release, engine: FakeEngine) -> AsyncIterator[tuple[Process, str]]:
    """The gateway as its unit starts it, on a socket that it inherits."""
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        opened.listen()
        command = (sys.executable, "-c", AS_SYSTEMD, str(opened.fileno()), *release.command("gateway.service"))
        child = await asyncio.create_subprocess_exec(
            *command, cwd=release.root, env=release.environment, stderr=asyncio.subprocess.PIPE,
            pass_fds=[opened.fileno()],
        )  # fmt: skip
        port = opened.getsockname()[1]
    process = Process(child)
    try:
        async with running(engine, release.root / "run" / "alpha.sock"):
            await process.logged("gateway.listening")
            yield process, f"http://127.0.0.1:{port}"
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()


def engine() -> FakeEngine:
    return FakeEngine(name="alpha", tokens=3)


async def test_only_a_client_with_a_key_is_answered(release: Release) -> None:
    assert await release.bring_keys() == (0, "")
    assert stat.S_IMODE(release.keys_file.stat().st_mode) == 0o600
    async with served(release, engine()) as (process, url), aiohttp.ClientSession(url) as session:
        right = [
            {"Authorization": f"Bearer {FIRST}"}, {"authorization": f"bearer {SECOND}"}, {"api-key": FIRST},
            {"x-api-key": SECOND}, {"Authorization": "Bearer none", "x-api-key": FIRST},
        ]  # fmt: skip
        for headers in right:
            async with session.post(CHAT, json={"model": "alpha", "messages": []}, headers=headers) as answer:
                assert answer.status == 200, headers
        wrong = [
            {}, {"Authorization": "Bearer any"}, {"Authorization": FIRST}, {"Authorization": f"Basic {FIRST}"},
            {"Authorization": f"Bearer {FIRST}x"}, {"Authorization": f"Bearer {FIRST[:-1]}"}, {"api-key": "any"},
            {"Authorization": "Bearer "}, {"Authorization": "Bearer \u00e9"},
        ]  # fmt: skip
        for headers in wrong:
            async with session.post(CHAT, json={"model": "alpha", "messages": []}, headers=headers) as answer:
                assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer"), headers
                error = (await answer.json())["error"]
                assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_api_key")
        for path, status in {
            "/health": 200, "/livez": 200, "/readyz": 200, "/": 200, "/stats": 200, "/metrics": 200,
            "/ui": 200, "/ui/page.js": 200, "/ui/page.css": 200, "/ui/requests": 401,
            "/v1/models": 401, "/v1/models/alpha": 401, "/nothing": 401,
        }.items():  # fmt: skip
            async with session.get(path) as answer:
                assert answer.status == status, path
        client = AsyncOpenAI(base_url=f"{url}/v1", api_key=SECOND, max_retries=0)
        assert [each.id for each in (await client.models.list()).data] == ["alpha"]
        with pytest.raises(AuthenticationError):
            await client.with_options(api_key="any").models.list()
        assert not [line for line in process.log if FIRST in line or SECOND in line]
    assert FIRST not in " ".join(release.command("gateway.service") + release.command("gateway-keys.service"))


async def test_a_gateway_that_is_told_of_no_keys_answers_any(release: Release) -> None:
    """The control of the test above: without the unit's option the same requests are answered."""
    unit = release.root / "current" / "systemd" / "gateway.service"
    unit.write_text(re.sub(r" --keys \S+", "", unit.read_text()))
    async with served(release, engine()) as (_, url), aiohttp.ClientSession(url) as session:
        for headers in ({}, {"Authorization": "Bearer any"}):
            async with session.post(CHAT, json={"model": "alpha", "messages": []}, headers=headers) as answer:
                assert answer.status == 200


async def test_other_keys_count_within_a_second_and_no_stream_ends_for_them(release: Release) -> None:
    await release.bring_keys()
    slow = FakeEngine(name="alpha", tokens=40, token_delay_s=0.05)
    async with served(release, slow) as (_, url), aiohttp.ClientSession(url) as session:
        body = {"model": "alpha", "messages": [], "stream": True}
        async with session.post(CHAT, json=body, headers={"api-key": FIRST}) as stream:
            release.source.write_text("sk-third\n")
            assert (await release.bring_keys())[0] == 0
            await asyncio.sleep(1.1)
            for key, status in {"sk-third": 200, FIRST: 401, SECOND: 401}.items():
                async with session.get("/v1/models", headers={"api-key": key}) as answer:
                    assert answer.status == status, key
            assert (await stream.text()).endswith("data: [DONE]\n\n")


async def test_a_gateway_whose_keys_are_not_there_yet_is_closed(release: Release) -> None:
    release.source.unlink()
    status, said = await release.bring_keys()
    assert (status, said) == (
        1,
        f"{release.source}: cannot be read: No such file or directory. Give a file of lines, one key each.\n",
    )
    release.source.write_text("\n \n")
    assert await release.bring_keys() == (1, f"{release.source}: holds no key. Give one key a line.\n")
    assert not release.keys_file.exists()
    async with served(release, engine()) as (_, url), aiohttp.ClientSession(url) as session:
        for headers in ({}, {"api-key": ""}, {"api-key": FIRST}):
            async with session.get("/v1/models", headers=headers) as answer:
                assert (answer.status, json.loads(await answer.text())["error"]["code"]) == (503, "keys_unavailable")
        release.source.write_text(f"{FIRST}\n")
        await release.bring_keys()
        async with session.get("/v1/models", headers={"api-key": FIRST}) as answer:
            assert answer.status == 200


def traces(text: str, places: dict[str, bytes]) -> list[str]:
    """Where a text stands, in any of its usual forms."""
    forms = [text.encode(), text[3:].encode(), text.encode().hex().encode(), base64.b64encode(text.encode())[:-4]]
    return [place for place, content in places.items() if any(form in content for form in forms)]


def files_below(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()}


def process_lists() -> dict[str, bytes]:
    """Command line and environment of every process that may be looked at, this one excepted."""
    found = {}
    for process in Path("/proc").iterdir():
        for name in ("cmdline", "environ") if process.name.isdecimal() and process.name != str(os.getpid()) else ():
            with contextlib.suppress(OSError):  # it has ended
                found[f"{process}/{name}"] = (process / name).read_bytes()
    return found


@pytest.mark.parametrize("text", ["{} name=planted tokens_per_day=4", "{}", "{} planted", "name=x {}\n{}"])
async def test_a_planted_key_is_nowhere(release: Release, text: str) -> None:
    """Neither one that is right nor one in a list with mistakes, and no wrong one that a client sends."""
    planted, wrong = f"sk-{secrets.token_hex(16)}", f"sk-{secrets.token_hex(16)}"
    release.source.write_text(f"{FIRST} name=first\n")
    assert await release.bring_keys() == (0, "")
    release.source.write_text(f"# {planted}\n{text.replace('{}', planted)}\n{FIRST} name=first\n")
    _, said = await release.bring_keys()
    said_to_clients = {"gateway-keys.service": said.encode()}
    async with served(release, engine()) as (process, url), aiohttp.ClientSession(url) as session:
        for number, key in enumerate((planted, wrong, planted, planted, FIRST)):
            for more in ({}, {"stream": True}, {"model": "none"}, {"temperature": 9}):
                body = {"model": "alpha", "messages": [], **more}
                async with session.post(CHAT, json=body, headers={"Authorization": f"Bearer {key}"}) as answer:
                    said_to_clients[f"{number} {more}"] = repr(answer.headers).encode() + await answer.read()
        for path in ("/stats", "/metrics", "/health", "/", "/v1/models", "/nothing"):
            async with session.get(path, headers={"api-key": planted}) as answer:
                said_to_clients[path] = repr(answer.headers).encode() + await answer.read()
        while_it_runs = process_lists()
        await session.close()  # or it waits for what may still come over these connections
        process.child.terminate()
        assert process.child.stderr is not None
        process.log.append((await asyncio.wait_for(process.child.stderr.read(), 30)).decode())
        assert await process.child.wait() == 0
    release.source.unlink()
    (usage,) = (release.root / "state" / "gateway" / "usage").glob("*.json")
    assert '"first"' in usage.read_text()
    places = {**said_to_clients, **while_it_runs, **files_below(release.root), "log": "".join(process.log).encode()}
    assert len(places) > 30
    for key in (planted, wrong):
        assert traces(key, places) == []
    assert traces(FIRST, {"control": f"key={FIRST}".encode(), **places}) == ["control"]
