"""The simulation of lent cores: small cases by hand, and the four models of the production file."""

from pathlib import Path

import pytest

from bench.expected import BASELINE
from bench.lending import Host, Model, Request, alone, main, models_of, together
from deployment.capacity.engine import Engine, Weights
from deployment.capacity.kernels import kernels_of
from deployment.capacity.machine import Machine
from deployment.models.load import load_deployment

WEIGHTS = Weights(
    linear_bytes=37_000_000_000, head_bytes=0, linear_parameters=0, head_parameters=0, layers=1, sliding_layers=0,
    sliding_window=0, cache_bytes=0, attention_macs=0,
)  # fmt: skip
ENGINE = Engine(
    weights=WEIGHTS,
    kernels=kernels_of(BASELINE, group=None, head="bf16"),
    machine=Machine(vcpus=32, step_overhead_s=0.0),
    threads=1,
)


def model(name: str, home: tuple[int, ...]) -> Model:
    """Of 37 GB of 16-bit weights: a token takes a second on one core, and half of one on two."""
    return Model(name=name, home=home, compute=home, step_tokens=128, layers=1, engine=ENGINE)


PAIR = [model("alpha", (0,)), model("beta", (1,))]


def test_a_token_takes_its_bytes_over_the_bandwidth_of_its_cores() -> None:
    assert PAIR[0].step_s(1, cores=1, busy_cores=1) == pytest.approx(1.0, rel=1e-3)
    assert PAIR[0].step_s(1, cores=2, busy_cores=2) == pytest.approx(0.5, rel=1e-3)
    # 28 cores read 200 GB/s in all.
    assert PAIR[0].step_s(1, cores=14, busy_cores=28) == pytest.approx(0.37, rel=1e-2)


def test_who_is_asked_alone_has_both_cores() -> None:
    load = {"alpha": [Request(0.0, prompt_tokens=1, answer_tokens=4)], "beta": []}
    assert Host(PAIR, load, is_lending=False).run()["alpha"].working_s == pytest.approx(4.0, rel=1e-2)
    assert Host(PAIR, load, is_lending=True).run()["alpha"].working_s == pytest.approx(2.0, rel=1e-2)


def test_an_owner_has_its_core_at_once_and_the_borrower_finishes_its_step_on_its_own() -> None:
    """Alpha is half way through its first token, on two cores, when beta is asked; half a token is left to one core."""
    load = {"alpha": [Request(0.0, prompt_tokens=1, answer_tokens=1)], "beta": [Request(0.25, 1, 1)]}
    seats = Host(PAIR, load, is_lending=True).run()
    assert seats["beta"].give_backs_s == [pytest.approx(50e-6)]
    assert seats["beta"].first_tokens_s == [pytest.approx(1.0, rel=1e-2)]
    assert seats["alpha"].first_tokens_s == [pytest.approx(0.25 + 0.5, rel=1e-2)]


def test_lending_helps_whoever_is_alone_and_harms_nobody_much() -> None:
    models = models_of(load_deployment(Path("models.yaml")))
    for each in models:
        load = alone(models, each.name)
        disjoint, elastic = (Host(models, load, is_lending=lent).run()[each.name] for lent in (False, True))
        assert elastic.working_s < 0.9 * disjoint.working_s, each.name
    disjoint_all, elastic_all = (Host(models, together(models), is_lending=lent).run() for lent in (False, True))
    for name, seat in elastic_all.items():
        assert seat.working_s < 1.02 * disjoint_all[name].working_s, name


def test_a_broken_models_file_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "models.yaml")]) == 1
    assert capsys.readouterr().err.startswith(f"{tmp_path}/models.yaml: not found")
