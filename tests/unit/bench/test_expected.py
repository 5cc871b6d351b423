"""The expected speeds of the production models: by hand for one of them, and as the README prints them for all."""

from pathlib import Path

import pytest

from bench.expected import BASELINE, Kernels, expected, main, read_per_token, speed, table
from deployment.models.load import load_deployment

MODELS = Path("models.yaml")


def test_a_token_of_mistral_reads_its_4_bit_layers_and_its_int8_head() -> None:
    weights, head, packed = read_per_token(load_deployment(MODELS).models["mistral_balanced"])
    assert packed == 6_979_321_856
    assert weights == 6_979_321_856 // 128 * 68  # 64 bytes of nibbles and a word of scale and zero point
    assert head == 4096 * 32768


def test_few_cores_are_bound_by_the_kernel_and_many_by_memory() -> None:
    kernels = Kernels(gemv_bytes_per_cycle=20.0, gemm_macs_per_cycle=60.0)
    few = speed(4_250_000_000, 0, 8_000_000_000, kernels, cores=2)
    assert few.tokens_per_s == pytest.approx(2 * 20.0 * 0.55 * 3.0e9 / 4e9)  # 16.5: memory would give 17.4
    many = speed(4_250_000_000, 0, 8_000_000_000, kernels, cores=28)
    assert many.tokens_per_s == pytest.approx(200 / 4.25)
    assert many.first_token_s == pytest.approx(512 * 8e9 / (28 * 60 * 0.7 * 3e9) + 4.25 / 200)


def test_the_readme_has_the_table_that_is_computed() -> None:
    """After a change of models, cores or kernels: `python -m bench.expected` prints what belongs there."""
    rows = table(expected(load_deployment(MODELS), BASELINE))
    assert rows in Path("README.md").read_text()


def test_a_broken_models_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "models.yaml")]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path}/models.yaml: not found")
