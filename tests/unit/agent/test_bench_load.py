"""Generators beside each other: what they leave, what engines count meanwhile, and the end of those that hang."""

import json
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from agent.bench_load import counters_of, run
from agent.bench_machine import memory, processor, thread_counts
from agent.bench_messages import Generator, LoadOrder
from agent.bench_quality import answer_of, logprobs_of
from tests.support.share import eventually

REPOSITORY = Path(__file__).parents[3]
PYTHON = sys.executable

PAGE = """\
# TYPE vllm:generation_tokens_total counter
vllm:generation_tokens_total{model="a",engine="0",model_name="a"} 120.0
vllm:generation_tokens_total{model="b",engine="0",model_name="b"} 7.0
vllm:request_success_total{model="a",engine="0",finished_reason="stop"} 1.0
vllm:request_success_total{model="a",engine="0",finished_reason="length"} 2.0
vllm:num_requests_running{model="a"} 3
"""
PROGRAM = """\
#!{python}
import json, os, sys, time
words = sys.argv[1:]
directory, name = (words[words.index(option) + 1] for option in ("--result-dir", "--result-filename"))
if "hang" in words:
    time.sleep(600)
if "fail" in words:
    sys.exit("no such model")
print("Starting main benchmark run...", flush=True)
open(os.path.join(directory, name), "w").write(json.dumps({{"total_output_tokens": 0, "words": words}}))
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An engine environment whose `vllm` does as it is told."""
    program = tmp_path / "vllm"
    program.write_text(PROGRAM.format(python=PYTHON))
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return tmp_path


def order(*words: str, timeout_s: float = 20) -> LoadOrder:
    generators = tuple(Generator(f"m-{word}", ("bench", word)) for word in words)
    return LoadOrder("127.0.0.1:1", None, generators, timeout_s)


def running_below(environment: Path) -> list[Path]:
    """Processes of that environment's program."""
    named = str(environment / "vllm").encode()
    commands = (process / "cmdline" for process in Path("/proc").iterdir() if process.name.isdigit())
    found = []
    for path in commands:
        with suppress(OSError):
            found += [path] if named in path.read_bytes() else []
    return found


def test_counters_are_those_of_one_model_over_all_other_labels() -> None:
    assert counters_of(PAGE, "a") == {"generation_tokens_total": 120, "request_success_total": 3}
    assert counters_of(PAGE, "c") == {}


@pytest.mark.usefixtures("environment")
def test_each_generator_leaves_its_result_or_why_it_has_none() -> None:
    found = run(order("good", "fail")).generated
    words = (found["m-good"].result or {})["words"]
    assert words[:4] == ["bench", "good", "--base-url", "http://127.0.0.1:1"]
    assert found["m-good"].problem == ""
    assert found["m-fail"].result is None
    assert found["m-fail"].problem == "ended with 1: no such model"


def test_one_that_hangs_is_ended_with_what_it_started(environment: Path) -> None:
    began = time.monotonic()
    found = run(order("hang", timeout_s=1.5)).generated
    assert time.monotonic() - began < 15
    assert found["m-hang"].problem == "not done in time"
    assert not running_below(environment)


def test_a_generator_ends_with_an_agent_that_is_killed(environment: Path) -> None:
    set_python = f"import sys; sys.executable = {str(environment / 'python')!r}"
    code = f"{set_python}; from agent.bench_load import main; main()"
    agent = subprocess.Popen([PYTHON, "-c", code], stdin=subprocess.PIPE, cwd=REPOSITORY)
    assert agent.stdin is not None
    agent.stdin.write(order("hang", timeout_s=60).to_json().encode())
    agent.stdin.close()
    eventually(lambda: bool(running_below(environment)), "it runs", 20)
    agent.kill()
    agent.wait()
    eventually(lambda: not running_below(environment), "it has ended", 20)


def test_likelihoods_are_those_of_the_prompts_own_tokens() -> None:
    places = [None, {"5": {"logprob": -1.5, "rank": 3}}, {"9": {"logprob": -0.25, "rank": 1}}]
    body = json.dumps({"choices": [{"text": "x", "prompt_logprobs": places}]}).encode()
    assert logprobs_of(body) == (-1.5, -0.25)
    with pytest.raises(ValueError, match="no likelihoods"):
        logprobs_of(b'{"choices": [{"text": "x"}]}')
    assert answer_of(b'{"choices": [{"message": {"content": "Paris"}}]}') == "Paris"
    with pytest.raises(ValueError, match="no answer"):
        answer_of(b'{"choices": []}')


def test_the_facts_of_a_computer_are_those_that_speed_depends_on() -> None:
    assert processor("Architecture:  x86_64\nVendor ID:  x\nL3 cache:  32 MiB (1 instance)\n") == {
        "Architecture": "x86_64",
        "L3 cache": "32 MiB (1 instance)",
    }
    assert memory("MemTotal:  8 kB\nBuffers:  1 kB\n", "always [madvise] never\n") == {
        "MemTotal": "8 kB",
        "transparent huge pages": "madvise",
    }
    assert thread_counts(6) == [1, 2, 4, 6]
    assert thread_counts(8) == [1, 2, 4, 8]
