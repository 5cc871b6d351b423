"""`fab tune`: what it prints loads, and what it writes keeps every comment."""

import shutil
from pathlib import Path

import pytest
import yaml

from build.cli.asked_load import Asked
from build.cli.tune import tune
from deployment.models.load import load_deployment

NOTHING = Asked(file=None, options={})


@pytest.fixture
def models(tmp_path: Path) -> Path:
    for name in ("models.yaml", "models.lock.json"):
        shutil.copy(name, tmp_path)
    return tmp_path / "models.yaml"


def test_it_prints_a_stanza_that_loads_and_writes_nothing(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = models.read_text()
    tune(str(models), NOTHING, "c4a-standard-32", write=False)
    said = capsys.readouterr().out
    assert said.startswith("Modelled, not measured: c4a-standard-32")
    assert models.read_text() == before
    stanza = said[said.index("\nmodels:\n") + 1 :]
    models.write_text(before[: before.index("models:\n  gemma3")] + stanza)
    assert {name: model.cores for name, model in load_deployment(models).models.items()} != {
        name: model["cores"] for name, model in yaml.safe_load(before)["models"].items()
    }


def test_it_writes_the_file_and_keeps_what_people_wrote(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = models.read_text()
    tune(str(models), NOTHING, "c4a-standard-32", write=True)
    assert "models.yaml: written." in capsys.readouterr().out
    after = models.read_text()
    assert [line.partition("#")[2] for line in after.splitlines() if "#" in line] == [
        line.partition("#")[2] for line in before.splitlines() if "#" in line
    ]
    served = load_deployment(models).models
    assert sum(model.cores for model in served.values()) == 28
    assert served["phi4_fast"].engine.max_num_batched_tokens == 128
    assert served["phi4_fast"].engine.quantization == "axion_w4"
