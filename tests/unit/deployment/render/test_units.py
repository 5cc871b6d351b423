"""What keeps the rendered production processes running and apart, and systemd's own judgement of it."""

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from agent.engine_unit import parse_environment
from deployment.quantities import GIB
from tests.unit.deployment.render.test_files import demonstration, production


def test_an_engine_gets_its_cores_its_memory_and_time_to_stop() -> None:
    files = production()
    settings = files["systemd/vllm@gemma3_multimodal.service.d/50-resources.conf"].splitlines()
    assert "AllowedCPUs=4-17" in settings
    assert "WatchdogSec=180" in settings
    assert "TimeoutStopSec=640" in settings  # the longest drain of 600 s and 40 s for everything else
    limits = dict(line.split("=") for line in settings if line.startswith("Memory"))
    assert 0 < int(limits["MemoryHigh"]) < int(limits["MemoryMax"]) < 60 * GIB
    variables = parse_environment(files["engines/gemma3_multimodal.env"], Path("engine.env"))
    assert variables["VLLM_CPU_OMP_THREADS_BIND"] == "5-17"
    assert variables["OMP_NUM_THREADS"] == "13"
    assert variables["AXION_STOP_TIMEOUT_S"] == "45"  # 30 s to drain, 15 s to end


def test_the_procfile_runs_only_the_release_that_is_current() -> None:
    """Whatever restarts a process restarts it into the release of that moment."""
    commands = [line.partition(": ")[2] for line in demonstration()["Procfile"].splitlines() if line[0] != "#"]
    assert len(commands) == 5
    for command in commands:
        paths = [word for word in shlex.split(command) if "/srv/axion/" in word]
        assert len(paths) == 3
        assert all("/srv/axion/current" in path for path in paths), command


def test_systemd_finds_nothing_wrong_with_the_production_units(
    tmp_path_factory: pytest.TempPathFactory, systemd_analyze: str
) -> None:
    directory = tmp_path_factory.mktemp("v")
    root, units = directory / "axion", directory / "units"
    python = root / "current" / "build" / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    for path, text in production(str(root)).items():
        if path.startswith("systemd/"):
            unit = units / path.removeprefix("systemd/")
            unit.parent.mkdir(parents=True, exist_ok=True)
            unit.write_text(text)
    names = ["gateway.service", "gateway-handover.service", "gateway.socket", "axion.slice", "axion.target"]
    names += [f"vllm@{name}.service" for name in ("gemma3_multimodal", "mistral_balanced", "phi4_fast", "qwen_coder")]
    # The trailing colon keeps the machine's own units in the search path: network-online.target is one of them.
    env = os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_LOG_LEVEL": "warning"}
    verify = [systemd_analyze, "verify", "--man=no", "--recursive-errors=one", *names]
    done = subprocess.run(verify, env=env, cwd=units, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    for service in ("vllm@.service", "gateway.service"):  # 20 stands for an exposure of 2.0
        judge = [systemd_analyze, "security", "--offline=true", "--threshold=20", "--no-pager", str(units / service)]
        judged = subprocess.run(judge, capture_output=True, text=True, check=False, timeout=30)
        assert judged.returncode == 0, judged.stdout + judged.stderr
