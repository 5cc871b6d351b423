"""Options of models.yaml in real vLLM behind the gateway: one engine that has them all, started from a release.

The model says the same after every prompt that ends with its starting mark: a thought, then a call of a tool.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import yaml

from agent.engine_unit import parse_environment
from deployment.models.load import load_deployment
from deployment.models.sizing import plan
from deployment.render.files import Place, render
from tests.support.live_deployment import LOAD_S
from tests.support.share import eventually
from tests.support.web import free_port
from tests.unit.deployment.render.test_files import LAPTOP, SHARED

pytestmark = pytest.mark.engine

REPOSITORY = Path(__file__).parents[3]
START = "<|start|>"
THOUGHT = ["<think>", "It rains", "</think>"]
CALL = ["<tool_call>", '\n{"name": ', '"weather"', ', "arguments": {', '"city": ', '"Paris"', "}}\n", "</tool_call>"]
# In the models file's own template; the checkpoint's lacks the mark, and after that the model says nothing.
TEMPLATE = "{{ tools | tojson if tools else '' }}{% for m in messages %}{{ m.content }}{% endfor %}" + START
TEMPLATE += "{# <tool_call> is how it calls tools #}"
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
ASK: Any = {"messages": [{"role": "user", "content": "Rain?"}], "tools": [TOOL], "temperature": 0, "max_tokens": 64}
MODEL: dict[str, Any] = {
    "description": "Says one thing",
    "weights": {"path": "scripted"},
    "cores": 1,
    "lora": {"noisy": {"path": "scripted/adapter"}},
    "engine": {
        "max_model_len": 512,
        "kv_cache_memory_bytes": "64MiB",
        "enforce_eager": True,
        "chat_template": "own.jinja",
        "reasoning_parser": "qwen3",
        "speculative_config": {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 2},
        "max_lora_rank": 8,
        "extra_args": {"max-logprobs": 2},
    },
}


@dataclass(frozen=True, slots=True)
class Serving:
    """The gateway's address, and the engine's own metrics."""

    url: str
    socket: str

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", timeout=60, max_retries=0)

    def metric(self, name: str) -> float:
        with httpx.Client(transport=httpx.HTTPTransport(uds=self.socket), base_url="http://engine") as engine:
            lines = engine.get("/metrics").text.splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"vllm:{name}{{"))


def lay_out(root: Path, engine_python: str) -> Path:
    """Write the checkpoint, the files of a person, and the release that comes of them; return the release."""
    scripted = root / "scripted"
    scripted.mkdir()
    script = json.dumps({"start": START, "said": [*THOUGHT, *CALL]})
    writer = str(REPOSITORY / "tests" / "support" / "kernels" / "scripted_model.py")
    subprocess.run([engine_python, "-P", writer, str(scripted)], input=script, text=True, check=True, timeout=LOAD_S)
    (root / "own.jinja").write_text(TEMPLATE)
    document = {
        "default_model": "caller",
        "models": {"caller": MODEL},
        "host": SHARED,
        "gateway": {"listen": [f"127.0.0.1:{free_port()}"]},
    }
    (root / "models.yaml").write_text(yaml.safe_dump(document))
    update = (str(Path(sys.executable).with_name("fab")), "models-update", "all", "--models", str(root / "models.yaml"))
    subprocess.run(update, cwd=REPOSITORY, check=True, timeout=60)
    served = load_deployment(root / "models.yaml")
    checkpoints = {"caller": str(scripted), "caller/noisy": str(scripted / "adapter")}
    place = Place(root=str(root), runner="supervisor")
    release = root / "current"
    for file in render(served, plan(served, LAPTOP, str(root)), place, checkpoints):
        (release / file.path).parent.mkdir(parents=True, exist_ok=True)
        (release / file.path).write_text(file.text)
    (root / "run").mkdir()
    return release


@contextlib.contextmanager
def process(command: list[str], log: Path, environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run something for the length of a block; it gets to end its own children."""
    with log.open("wb") as output:
        started = subprocess.Popen(command, env=environment, cwd=log.parent, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield started
    finally:
        started.terminate()
        try:
            started.wait(60)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


@pytest.fixture(scope="module")
def serving(engine_python: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    root = tmp_path_factory.mktemp("o")
    release = lay_out(root, engine_python)
    settings = release / "engines" / "caller.env"
    bare = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    engine = [str(Path(engine_python).with_name("vllm")), "serve", "--config", str(settings.with_suffix(".yaml"))]
    gateway = [sys.executable, "-m", "gateway", "--config", str(release / "gateway.json")]
    listen = json.loads((release / "gateway.json").read_text())["listen"][0]
    url = f"http://127.0.0.1:{listen['port']}"
    with (
        process(engine, root / "engine.log", bare | parse_environment(settings.read_text(), settings)) as running,
        process(gateway, root / "gateway.log", bare | {"PYTHONPATH": str(REPOSITORY)}),
    ):

        def is_ready() -> bool:
            assert running.poll() is None, (root / "engine.log").read_text()[-4000:]
            with contextlib.suppress(httpx.HTTPError):
                return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
            return False

        eventually(is_ready, "the engine is ready", 2 * LOAD_S)
        yield Serving(url, str(root / "run" / "caller.sock"))


def test_a_model_calls_a_tool_by_itself(serving: Serving) -> None:
    with serving.client() as client:
        answer = client.chat.completions.create(model="caller", tool_choice="auto", **ASK)
    (choice,) = answer.choices
    (call,) = choice.message.tool_calls or []
    assert choice.finish_reason == "tool_calls"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Paris"})
    assert (choice.message.model_extra or {})["reasoning"] == "It rains"


def test_a_call_that_is_streamed_comes_in_pieces_and_says_the_same(serving: Serving) -> None:
    name, arguments, thought, pieces, ends = "", "", "", 0, []
    with serving.client() as client:
        for chunk in client.chat.completions.create(model="caller", stream=True, **ASK):
            (choice,) = chunk.choices
            for call in choice.delta.tool_calls or ():
                name += call.function.name or ""
                arguments += call.function.arguments or ""
                pieces += 1
            thought += (choice.delta.model_extra or {}).get("reasoning") or ""
            ends += [choice.finish_reason] if choice.finish_reason else []
    assert (name, json.loads(arguments), thought, ends) == ("weather", {"city": "Paris"}, "It rains", ["tool_calls"])
    assert pieces >= 2


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "weather"}}])
@pytest.mark.parametrize("is_stream", [False, True], ids=["whole", "stream"])
def test_a_call_that_the_client_demands_has_the_form_that_the_tool_asks_for(
    serving: Serving, choice: Any, is_stream: bool
) -> None:
    asked = {**ASK, "tool_choice": choice, "max_tokens": 200}
    with serving.client() as client:
        if is_stream:
            deltas = [
                chunk.choices[0].delta for chunk in client.chat.completions.create(**asked, model="caller", stream=True)
            ]
            calls = [call.function for delta in deltas for call in delta.tool_calls or ()]
            name, arguments = ("".join(getattr(each, key) or "" for each in calls) for key in ("name", "arguments"))
        else:
            (call,) = client.chat.completions.create(**asked, model="caller").choices[0].message.tool_calls or []
            name, arguments = call.function.name, call.function.arguments
    assert name == "weather"
    assert json.loads(arguments)["city"] in ("Paris", "Rome")


def test_the_template_of_the_models_file_is_the_one_that_is_used(serving: Serving) -> None:
    """With the checkpoint's own the model says nothing: its mark would not be in the prompt."""
    with serving.client() as client:
        marked = client.completions.create(model="caller", prompt=f"Rain?{START}", temperature=0, max_tokens=64)
        plain = client.completions.create(model="caller", prompt="Rain?", temperature=0, max_tokens=64)
    assert marked.choices[0].text == "".join(THOUGHT + CALL)
    assert plain.choices[0].text == ""


def test_an_adapter_is_a_model_of_its_own(serving: Serving) -> None:
    prompt: Any = {"prompt": START, "temperature": 0, "max_tokens": 16}
    with serving.client() as client:
        cards = {card.id: card.model_extra or {} for card in client.models.list()}
        base = client.completions.create(model="caller", **prompt)
        noisy = client.completions.with_raw_response.create(model="noisy", **prompt)
        again = client.completions.create(model="caller", **prompt)
    assert {name: card["parent"] for name, card in cards.items()} == {"caller": None, "noisy": "caller"}
    assert noisy.headers["X-Served-Model"] == noisy.parse().model == "noisy"
    assert noisy.parse().choices[0].text != base.choices[0].text == again.choices[0].text


def test_guesses_save_steps_on_text_that_repeats_itself(serving: Serving) -> None:
    before = serving.metric("spec_decode_num_accepted_tokens_total")
    with serving.client() as client:
        client.completions.create(
            model="caller", prompt="x", temperature=0, max_tokens=48, extra_body={"ignore_eos": True}
        )
    accepted = serving.metric("spec_decode_num_accepted_tokens_total") - before
    assert accepted >= 20, "of 48 tokens, three a step"


def test_an_argument_that_is_only_passed_on_arrives(serving: Serving) -> None:
    with serving.client() as client:
        asked: Any = {"model": "caller", "prompt": "x", "max_tokens": 1}
        assert client.completions.create(logprobs=2, **asked).choices[0].logprobs
        with pytest.raises(openai.BadRequestError, match="logprobs"):
            client.completions.create(logprobs=3, **asked)
