"""Scripts of tests/support/fakes that need vLLM, run by the interpreter of an engine environment."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

FAKES = Path(__file__).with_name("fakes")
BOUND_S = 1800  # a minute or two on a quiet machine


def in_engine(python: str, script: str, asked: Any) -> Any:
    """What the script answers to a JSON document."""
    command = [python, "-I", str(FAKES / script)]
    env = {**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    done = subprocess.run(
        command, input=json.dumps(asked), env=env, capture_output=True, text=True, check=False, timeout=BOUND_S
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])
