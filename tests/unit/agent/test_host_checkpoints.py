"""What lies on a host for its engines, as the probe sees it."""

import json
import os
from pathlib import Path
from typing import Any

from tests.support.hollow import TINY, write_checkpoint
from tests.unit.agent.test_probe import probe, write


def test_half_an_adapter_is_told_by_its_files(tmp_path: Path) -> None:
    directory = write(tmp_path / "m" / "adapter_config.json", {}).parent

    def seen() -> Any:
        return probe(tmp_path, checkpoints={"alpha/sql": str(directory)}).checkpoints["alpha/sql"]

    assert seen().problems == ("no adapter: no adapter_model.safetensors. Put a whole adapter there.",)
    (directory / "adapter_config.json").rename(directory / "adapter_model.safetensors")
    assert seen().problems == ("no adapter: no adapter_config.json. Put a whole adapter there.",)
    write(directory / "adapter_config.json", {})
    assert seen().problems == ()


def test_a_checkpoint_is_told_by_its_files(tmp_path: Path) -> None:
    directory = write(tmp_path / "m" / "config.json", dict(TINY)).parent

    def seen() -> Any:
        return probe(tmp_path, checkpoints={"alpha": str(directory)}).checkpoints["alpha"]

    without = seen()
    assert without.problems == (
        "no *.safetensors, got 1 other files. Take a repository with config.json and *.safetensors.",
    )
    write_checkpoint(directory)
    first = seen()
    assert first.problems == ()
    assert json.loads(first.texts["config.json"])["num_hidden_layers"] == 2
    assert len(first.digest) == 16
    assert seen().fingerprint == first.fingerprint
    os.utime(directory / "model.safetensors", (1, 1))
    assert seen().fingerprint != first.fingerprint != without.fingerprint
