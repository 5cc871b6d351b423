"""The torch operators axion::*, in the engine environment, with the implementation that this CPU gets."""

import ast
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.kernels

REPOSITORY = Path(__file__).parents[3]
CHECKS = [
    node.name
    for module in ("numerics", "gated", "contract", "hooks", "speculation", "penalties")
    for node in ast.parse((REPOSITORY / "tests" / "support" / "kernels" / f"{module}.py").read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")
]


@pytest.fixture(scope="module")
def results(engine_python: str, kernels_site: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("operators") / "results.json"
    environment = {**os.environ, "PYTHONPATH": f"{kernels_site}{os.pathsep}{REPOSITORY}"}
    command = [engine_python, "-m", "tests.support.kernels.operators", str(path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("name", CHECKS)
def test_operators(name: str, results: dict[str, Any]) -> None:
    assert results["checks"][name] == ""


def test_an_instruction_set_that_this_cpu_lacks_is_refused(engine_python: str, kernels_site: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(kernels_site), "AXION_ISA": "avx9"}
    program = "from axion_kernels import operators; operators.load(); operators.isa()"
    command = [engine_python, "-P", "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("AXION_ISA: not available on this CPU, got avx9.")


def test_the_selftest_checks_every_operator_that_computes(engine_python: str, kernels_site: Path) -> None:
    """What a deployment asks on its own host. Packing has no check of its own: the linear layers read what it packs."""
    environment = {**os.environ, "PYTHONPATH": str(kernels_site)}
    listing = (
        "import torch; from axion_kernels import operators, selftest; operators.load(); import json; "
        "names = {n.removeprefix('axion::').split('.')[0] for n in torch._C._dispatch_get_all_op_names()"
        " if n.startswith('axion::')}; "
        "print(json.dumps([sorted(n for n in names - selftest.CHECKS.keys() if 'pack' not in n), selftest.run()]))"
    )
    command = [engine_python, "-P", "-c", listing]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    unchecked, found = json.loads(done.stdout.splitlines()[-1])
    assert unchecked == ["isa"]
    assert set(found.values()) == {""}
