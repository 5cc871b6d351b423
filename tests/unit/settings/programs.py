"""Run __main__.py once for each of many stacks in one process: importing Pulumi takes 30 times as long as a run."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from deployment.stack.file import SECRETS
from tests.support.pulumi_program import REPOSITORY, Recording, Registered, main

TIMEOUT_S = 600


def recorded(stack: str, configs: Sequence[Mapping[str, Any]]) -> list[Recording]:
    """What the program asks the engine for, with each of these configurations."""
    requests = [
        json.dumps(
            {
                "stack": stack,
                "values": {key: each if isinstance(each, str) else json.dumps(each) for key, each in config.items()},
                "secrets": SECRETS,
            }
        )
        for config in configs
    ]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.unit.settings.programs", folder],
            cwd=REPOSITORY, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, input=json.dumps(requests),
            capture_output=True, text=True, check=False, timeout=TIMEOUT_S,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        answers = [json.loads((Path(folder) / str(index)).read_text()) for index in range(len(requests))]
    return [Recording(0, [Registered(**one) for one in each["resources"]], each["outputs"], "") for each in answers]


if __name__ == "__main__":
    for number, request in enumerate(json.load(sys.stdin)):
        try:
            main(request, f"{sys.argv[1]}/{number}")
        except SystemExit:
            print(f"refused: {request}", file=sys.stderr)
            raise
