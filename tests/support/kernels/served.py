"""Answers of real vLLM to fixed prompts: runs the scripts beside it on an engine environment's Python."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BOUND_S = 1800  # a minute on a quiet machine

Answers = Mapping[str, Mapping[str, Any]]


def make_models(python: str, directory: Path) -> Path:
    """Write the tiny checkpoints of checkpoints.py there."""
    command = [python, "-P", str(HERE / "checkpoints.py"), str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=BOUND_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return directory


def serve(python: str, jobs: Sequence[Mapping[str, Any]], directory: Path, **environment: str) -> Answers:
    """Answer with the given models, all in one process: importing vLLM takes longer than they do."""
    asked, answered = directory / "jobs.json", directory / "answers.json"
    asked.write_text(json.dumps(jobs))
    command = [python, "-P", str(HERE / "serve.py"), str(asked), str(answered)]
    # Compiled graphs are cached under a key that knows nothing of our library: begin with none.
    caches = {"VLLM_CACHE_ROOT": str(directory / "vllm"), "TORCHINDUCTOR_CACHE_DIR": str(directory / "inductor")}
    env = {**os.environ, "VLLM_CPU_OMP_THREADS_BIND": "nobind", **caches, **environment}
    done = subprocess.run(command, env=env, cwd=directory, capture_output=True, text=True, timeout=BOUND_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    answers: Answers = json.loads(answered.read_text())
    return {**answers, "process": {"log": done.stdout + done.stderr}}


def job(name: str, model: Path, *, packed: Path | None = None, **options: Any) -> dict[str, Any]:
    """One model of `serve`. `packed` is where this one keeps its packed weights, where the process keeps any."""
    return {"name": name, "model": str(model), "options": options, "packed": str(packed or "")}
