"""The question of readiness put to a real vLLM: half a checkpoint, the whole one, and one with a NaN in it.

Where vLLM has no int4 kernel for the CPU, one with an output head of zeros takes the place of the half, which it loads
of quantized models alone. One engine for all three: vLLM's development mode has it read other weights in place.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.answer import QUESTION, is_printable, problem_of, words_of
from agent.unix_http import UnixConnection, call
from tests.support.live_deployment import LOAD_S, REPOSITORY
from tests.support.share import eventually

pytestmark = pytest.mark.engine

Post = Callable[[str, Any], tuple[int, bytes]]
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_SERVER_DEV_MODE": "1",
}


@pytest.fixture(scope="module")
def checkpoints(engine_python: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out, tokenizer = tmp_path_factory.mktemp("checkpoints"), REPOSITORY / "out" / "demo" / "models" / "tiny-qwen2"
    program = str(REPOSITORY / "tests" / "support" / "kernels" / "broken_checkpoints.py")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [engine_python, "-P", program, str(out), str(tokenizer)]
    subprocess.run(command, env=environment, capture_output=True, timeout=LOAD_S, check=True)
    return out


@pytest.fixture(scope="module")
def post(engine_python: str, checkpoints: Path) -> Iterator[Post]:
    """Ask an engine that was started with what is not whole."""
    started_with = checkpoints / ("half" if (checkpoints / "half").exists() else "zero")
    with tempfile.TemporaryDirectory(prefix="axion-") as short, (checkpoints / "log").open("w+") as log:
        uds = Path(short) / "engine.sock"
        options = ["--max-model-len", "128", "--max-num-seqs", "2", "--kv-cache-memory-bytes", "16M", "--enforce-eager"]
        vllm = str(Path(engine_python).with_name("vllm"))
        engine = subprocess.Popen(
            [vllm, "serve", str(started_with), "--uds", str(uds), "--dtype", "bfloat16", *options],
            env={**os.environ, **QUIET, "VLLM_CACHE_ROOT": short}, cwd=short,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            eventually(lambda: _is_up(engine, uds, log), "the engine is healthy", LOAD_S)
            yield lambda path, body: call(UnixConnection(uds, 120), "POST", path, body)
        finally:
            engine.send_signal(signal.SIGTERM)
            time.sleep(1)
            os.killpg(engine.pid, signal.SIGKILL)
            engine.wait()


def _is_up(engine: "subprocess.Popen[bytes]", uds: Path, log: Any) -> bool:
    assert engine.poll() is None, Path(log.name).read_text()[-4000:]
    return call(UnixConnection(uds, 5), "GET", "/health")[0] == 200


def read_weights(post: Post, checkpoint: Path) -> None:
    order = {"method": "reload_weights", "kwargs": {"weights_path": str(checkpoint)}}
    assert post("/collective_rpc", order)[0] == 200


def test_only_the_whole_checkpoint_is_ready_and_the_others_are_told_why(post: Post, checkpoints: Path) -> None:
    not_whole = problem_of(*post("/v1/chat/completions", QUESTION))
    read_weights(post, checkpoints / "whole")
    # Where the CPU has AVX512-BF16, vLLM 0.32 answers one more request with NaN after a request that had NaN.
    post("/v1/chat/completions", QUESTION)
    status, body = post("/v1/chat/completions", QUESTION)
    read_weights(post, checkpoints / "nan")
    broken = problem_of(*post("/v1/chat/completions", QUESTION))
    assert not_whole is not None
    assert "the checkpoint is not whole" in not_whole
    assert problem_of(status, body) is None
    assert is_printable(words_of(body))
    assert broken is not None
    assert broken.startswith("NaN where probabilities belong: ")
