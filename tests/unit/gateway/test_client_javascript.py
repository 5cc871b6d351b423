"""OpenAI's, Anthropic's and Ollama's clients in JavaScript, and Vercel's ai-sdk, against the real gateway.

One process asks for all of them (tests/support/javascript/clients.mjs) and tells what each made of the answers.
"""

import asyncio
import contextlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from agent.durable import replace_file
from gateway.keys import Keys
from gateway.tenancy import Tenancy
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import ROOT, eventually, staged

pytestmark = pytest.mark.javascript
SOURCES = ROOT / "tests" / "support" / "javascript"
KEY, SLOW_KEY = "sk-javascript-0123456789", "sk-once-a-minute-0123456"
CALL, VECTOR = ["weather", {"place": "Sevilla"}], [0.5, -1]
WORDS, WHOLE = ["hi ", "hi ", "hi "], "hi hi hi "
INSTALL_S, ASK_S = 600, 120


@pytest.fixture(scope="module")
def clients() -> Path:
    """The program beside the pinned clients, which are fetched once for each lock file."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.fail(f"{program}: not found, got none. Install it: `apt-get install {program}`.")
    place = ROOT / "out" / "tools" / "javascript"
    place.mkdir(parents=True, exist_ok=True)
    lock = (SOURCES / "package-lock.json").read_text()
    installed = place / "installed.json"
    if not installed.is_file() or installed.read_text() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(SOURCES / name, place / name)
        command = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, timeout=INSTALL_S)
        assert done.returncode == 0, done.stderr
        replace_file(installed, lock, mode=0o644)
    shutil.copy(SOURCES / "clients.mjs", place / "clients.mjs")
    return place / "clients.mjs"


async def told_by(program: Path, *words: str) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        "node", str(program), *words, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        said, wrong = await asyncio.wait_for(child.communicate(), ASK_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
    assert child.returncode == 0, wrong.decode()
    told: dict[str, Any] = json.loads(said)
    return told


async def test_each_client_gets_what_its_users_ask_for(tmp_path: Path, clients: Path) -> None:
    engine = FakeEngine(name="a", token="hi ", embeds=True, calls=("weather", '{"place": "Sevilla"}'))
    slow = FakeEngine(name="slow", tokens=2000, token_delay_s=0.01)
    (tmp_path / "keys").write_text(f"{KEY} name=all\n{SLOW_KEY} name=slow requests_per_minute=1\n")
    async with staged(tmp_path, engine, slow) as stage:
        stage.gateway.tenancy = Tenancy(Keys(tmp_path / "keys"))
        told = await told_by(clients, f"http://127.0.0.1:{stage.port}", KEY, SLOW_KEY)
        await eventually(lambda: all(each.cancelled_at is not None for each in slow.received), within_s=5)
        assert [each.path for each in slow.received] == [
            "/v1/chat/completions", "/v1/messages", "/v1/chat/completions", "/v1/chat/completions",
        ]  # fmt: skip
    assert told["openai"] == {
        "models": ["a", "slow"],
        "whole": [WHOLE, 3],
        "stream": WORDS,
        "call": CALL,
        "vector": VECTOR,
        "refusals": [
            ["AuthenticationError", 401],
            ["NotFoundError", 404],
            ["BadRequestError", 400],
            ["RateLimitError", 429],
        ],
    }
    assert told["anthropic"] == {
        "models": ["a", "slow"],
        "whole": [WHOLE, 3],
        "stream": WORDS,
        "call": CALL,
        "tokens": 8,
        "refusals": [
            ["AuthenticationError", 401],
            ["NotFoundError", 404],
            ["BadRequestError", 400],
            ["RateLimitError", 429],
        ],
    }
    assert told["ollama"] == {
        "models": ["a:latest", "slow:latest"],
        "running": ["a:latest", "slow:latest"],
        "length": 4096,
        "version": "0.12.0",
        "whole": [WHOLE, 3],
        "stream": WORDS,
        "generated": WHOLE,
        "call": CALL,
        "vector": VECTOR,
        "refusals": [["ResponseError", 401], ["ResponseError", 404], ["ResponseError", 400], ["ResponseError", 429]],
    }
    assert told["aiSdk"] == {
        "whole": WHOLE,
        "stream": WORDS,
        "call": CALL,
        "vector": VECTOR,
        "refusals": [["APICallError", 401], ["APICallError", 404], ["APICallError", 429]],
    }
