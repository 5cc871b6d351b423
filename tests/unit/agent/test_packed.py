"""Packed weights on a host: what no release names goes, what is there is compared with its digests."""

import json
import sys
from pathlib import Path

import pytest
from axion_kernels import packed_file
from axion_kernels.packed_file import Weight, make_file

from agent.packed import prune_packed
from agent.protocol import KernelsAnswer, KernelsOrder, PruneOrder
from agent.running import KernelsReport
from tests.support.agent import agent_file, run_agent

SOURCES = Path(packed_file.__file__).parents[1]
REPORT = {"isa": "sve2", "enabled": ["linear_w4"], "layers": {"linear_w4": 248}}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with two engines that keep packed weights, of which one release names the first."""
    root = tmp_path / "root"
    for name in ("alpha", "alpha-2"):
        path = root / "state" / name / "packed" / "model0-0.packed"
        make_file(path, {}, {"w": Weight({}, memoryview(bytes(range(256)) * 40), 0)})
    engines = root / "releases" / "20260101T000000-aaaaaaaa" / "engines"
    engines.mkdir(parents=True)
    (engines / "alpha.env").write_text(f"AXION_PACKED={root}/state/alpha/packed\n")
    (engines / "alpha-2.env").write_text("OMP_NUM_THREADS=2\n")
    (root / "run").mkdir()
    (root / "run" / "alpha.kernels").write_text(json.dumps(REPORT))
    return root


@pytest.fixture
def python(tmp_path: Path) -> str:
    """An engine environment's, with the real reader of packed weights."""
    path = tmp_path / "python"
    call = f"import sys; sys.path.insert(0, '{SOURCES}'); from axion_kernels import packed_file as p; "
    path.write_text(f'#!/bin/sh\nshift 3\nexec {sys.executable} -c "{call}sys.exit(p.main(sys.argv[1:]))" "$@"\n')
    path.chmod(0o755)
    return str(path)


def ask(tmp_path: Path, root: Path, python: str) -> KernelsAnswer:
    done = run_agent(agent_file(tmp_path), "packed", KernelsOrder(str(root), python).to_json(), text=True)
    assert done.returncode == 0, done.stderr
    return KernelsAnswer.from_last_line(done.stdout)


def test_whole_files_and_reports_are_told(tmp_path: Path, root: Path, python: str) -> None:
    size = (root / "state/alpha/packed/model0-0.packed").stat().st_size
    files = {f"state/{name}/packed/model0-0.packed": size for name in ("alpha", "alpha-2")}
    assert ask(tmp_path, root, python) == KernelsAnswer({"alpha": KernelsReport.from_data(REPORT)}, files, ())


def test_a_flipped_bit_is_told(tmp_path: Path, root: Path, python: str) -> None:
    path = root / "state/alpha/packed/model0-0.packed"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    assert ask(tmp_path, root, python).problems == ("model0-0.packed: w is damaged",)


def test_an_environment_that_cannot_read_them_is_told(tmp_path: Path, root: Path) -> None:
    (problem,) = ask(tmp_path, root, sys.executable).problems
    assert problem.startswith("packed weights: cannot be read: ")


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff"])
def test_a_report_that_is_none_is_passed_over(content: bytes, tmp_path: Path, root: Path, python: str) -> None:
    (root / "run" / "alpha.kernels").write_bytes(content)
    assert ask(tmp_path, root, python).reports == {}


def test_what_no_release_has_packing_is_pruned(tmp_path: Path, root: Path) -> None:
    """By whole names: alpha-2 begins as alpha does."""
    done = run_agent(agent_file(tmp_path), "prune", PruneOrder(str(root)).to_json(), text=True)
    assert done.returncode == 0, done.stderr
    assert [path.parent.parent.name for path in root.glob("state/*/packed/*")] == ["alpha"]
    assert (root / "state" / "alpha-2").is_dir()


def test_a_link_in_the_place_of_the_directory_is_left_alone(tmp_path: Path, root: Path) -> None:
    packed, elsewhere = root / "state" / "alpha-2" / "packed", tmp_path / "elsewhere"
    packed.rename(elsewhere)
    packed.symlink_to(elsewhere)
    assert prune_packed(root) == []
    assert [path.name for path in elsewhere.iterdir()] == ["model0-0.packed"]


def test_a_host_without_any_has_nothing_to_prune(tmp_path: Path) -> None:
    assert prune_packed(tmp_path) == []
