"""The expected speeds of the production models, as the README prints them for all."""

from pathlib import Path

import pytest

from bench.expected import BASELINE, MACHINE, expected, main, speed, table
from deployment.capacity.engine import engine_of
from deployment.models.load import load_deployment

MODELS = Path("models.yaml")


def test_a_row_has_the_bytes_of_a_token_and_both_speeds() -> None:
    deployment = load_deployment(MODELS)
    row = {each.name: each for each in expected(deployment, BASELINE)}["mistral_balanced"]
    assert row.bytes_per_token == 6_979_321_856 // 128 * 68 + 4096 * 32768
    # By hand: 5 threads read 3.84 + 0.07 GB of cache at 185 GB/s and compute 7.1 G MACs at about 57 G a core.
    assert row.own_cores.tokens_per_s == pytest.approx(28, rel=0.05)
    assert row.all_cores == speed(engine_of(deployment.models["mistral_balanced"], MACHINE, BASELINE, threads=27))


def test_the_readme_has_the_table_that_is_computed() -> None:
    """After a change of models, cores or kernels: `python -m bench.expected` prints what belongs there."""
    rows = table(expected(load_deployment(MODELS), BASELINE))
    assert rows in Path("README.md").read_text()


def test_a_broken_models_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "models.yaml")]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path}/models.yaml: not found")
