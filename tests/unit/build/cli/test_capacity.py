"""`fab capacity` as people and programs read it."""

import json
from pathlib import Path

import pytest

from build.cli.asked_load import Asked
from build.cli.capacity import capacity
from build.errors import DeployError
from deployment.errors import ConfigError


def asked(file: str | None = None, **options: float) -> Asked:
    return Asked(file=file, options=options)


def test_it_answers_with_hosts_prices_and_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    capacity(None, asked(prompt_tokens=64, output_tokens=64), None, None, json=False)
    said = capsys.readouterr().out
    assert said.startswith("Modelled, not measured.")
    assert "phi4_fast is asked 3.3 times what it can complete." in said
    assert "One c4a-standard-32 does not meet this load (1.44 USD/hour on demand, 0.65 spot, in us-central1)." in said
    assert "Cheapest: 3 x c4a-highcpu-64, 7.27 USD/hour." in said
    assert "gemma3_multimodal: 25 requests/min = 0.417 a second, on each of 3 hosts" in said


def test_programs_get_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    capacity(None, asked(requests_per_min=4), "c4a-standard-32", None, json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["schema"], said["modelled"]) == ("axion.capacity/1", True)
    phi = said["models"]["phi4_fast"]
    assert phi["requests_per_min"] == 1
    assert phi["used"]["high"] < phi["used"]["middle"] < phi["used"]["low"] < 0.8
    assert phi["problems"] == []
    best = said["all_models_on_each_host"][0]
    assert best["hourly_usd"] > best["hourly_spot_usd"] > 0


def test_a_load_is_read_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "load.yaml"
    file.write_text("models:\n  phi4_fast: {requests_per_min: 2, ttft_p95_s: 30}\n")
    capacity(None, asked(str(file)), None, None, json=False)
    said = capsys.readouterr().out
    assert "One c4a-standard-32 meets it" in said
    with pytest.raises(DeployError, match=r"^--load: a file says all of the load, got options beside it\."):
        capacity(None, asked(str(file), output_tokens=5), None, None, json=False)


def test_models_that_do_not_fit_the_machine_are_refused_as_by_plan() -> None:
    with pytest.raises(ConfigError, match="models: c4a-standard-16 has 16 cores, got 32"):
        capacity(None, asked(), "c4a-standard-16", None, json=False)


def test_a_stack_says_machine_and_region(capsys: pytest.CaptureFixture[str]) -> None:
    capacity(None, asked(requests_per_min=4), None, "prod", json=True)
    said = json.loads(capsys.readouterr().out)
    assert (said["machine"], said["region"]) == ("c4a-standard-32", "us-central1")
