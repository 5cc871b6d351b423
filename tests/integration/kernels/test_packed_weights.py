"""Real vLLM with packed weights: the first start makes them, the second maps them, and both say the same bits."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.kernels.served import Answers, job, make_models, serve

pytestmark = pytest.mark.kernels

INT4 = ("qwen2-awq", "gemma3-awq", "mistral-awq", "qwen2-gptq", "mistral-compressed-tensors")
ONLINE = ("phi3", "mistral")
NAMES = (*INT4, *ONLINE, "compiled")
ANSWERS = ("tokens", "best", "logits", "drawn")
LAYERS = 8
"""Linear layers of each: two blocks with four. Each has a head as well."""


class Engines:
    """Starts of engines that share a directory."""

    def __init__(self, python: str, site: Path, models: Path, directory: Path) -> None:
        self._python, self._site, self.models, self.directory = python, site, models, directory

    def packed(self, name: str) -> Path:
        return self.directory / "packed" / name

    def file(self, name: str) -> Path:
        (found,) = self.packed(name).iterdir()
        return found

    def start(self, *names: str, kernels: str = "linear_w4,axion_w4,lm_head") -> Answers:
        jobs = [self._job(name) for name in names]
        given = {"PYTHONPATH": str(self._site), "AXION_KERNELS": kernels, "AXION_PACKED": str(self.directory)}
        return serve(self._python, jobs, self.directory, **given)

    def _job(self, name: str) -> dict[str, Any]:
        packed = self.packed(name)
        if name == "compiled":
            return job(name, self.models / "qwen2-awq" / "int4", packed=packed, enforce_eager=False)
        if name in INT4:
            return job(name, self.models / name / "int4", packed=packed)
        return job(name, self.models / name, packed=packed, quantization="axion_w4")


@pytest.fixture(scope="module")
def engines(engine_python: str, kernels_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Engines:
    models = make_models(engine_python, tmp_path_factory.mktemp("models"))
    return Engines(engine_python, kernels_site, models, tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="module")
def first(engines: Engines) -> Answers:
    return engines.start(*NAMES)


@pytest.fixture(scope="module")
def second(engines: Engines, first: Answers) -> Answers:
    return engines.start(*NAMES)


def same(got: Answers, wanted: Answers, name: str) -> bool:
    return all(got[name][each] == wanted[name][each] for each in ANSWERS)


@pytest.mark.parametrize("name", NAMES)
def test_the_first_start_makes_them(name: str, first: Answers, engines: Engines) -> None:
    assert first[name].get("error") is None
    assert first[name]["packed"]["state"] == "made"
    assert first[name]["packed"]["bytes"] == engines.file(name).stat().st_size
    assert first[name]["mappings"] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_second_maps_them_and_nobody_can_write_there(name: str, second: Answers) -> None:
    assert second[name].get("error") is None
    assert second[name]["packed"]["state"] == "mapped"
    assert second[name]["mappings"] == ["r--s"]


@pytest.mark.parametrize("name", NAMES)
def test_both_say_the_same_bit_by_bit(name: str, first: Answers, second: Answers) -> None:
    assert same(second, first, name)
    assert second[name]["projection"] == first[name]["projection"]


def test_each_layer_is_counted_as_ever(first: Answers, second: Answers) -> None:
    assert [second[name]["layers"] for name in NAMES] == [first[name]["layers"] for name in NAMES]
    # The online ones come last but one, and the compiled one after them.
    assert second["compiled"]["layers"] == {"linear_w4": 6 * LAYERS, "axion_w4": 2 * LAYERS, "lm_head": len(NAMES)}


@pytest.mark.parametrize("name", ["mistral-awq", "phi3"])
def test_what_is_mapped_is_not_read_from_the_checkpoint(name: str, engines: Engines, second: Answers) -> None:
    """Both have a head of their own, so that all but norms and the embedding is mapped."""
    (checkpoint,) = (engines.models / name).rglob("int4/*.safetensors" if name in INT4 else "*.safetensors")
    about, kept = checkpoint.stat(), checkpoint.read_bytes()
    length = 8 + int.from_bytes(kept[:8], "little")
    spared = ranges(kept, length, ("norm", "embed_tokens"))
    noise = bytearray(kept[:length] + os.urandom(len(kept) - length))
    for begin, end in spared:
        noise[begin:end] = kept[begin:end]
    try:
        checkpoint.write_bytes(noise)
        os.utime(checkpoint, ns=(about.st_atime_ns, about.st_mtime_ns))
        answers = engines.start(name)
    finally:
        checkpoint.write_bytes(kept)
        os.utime(checkpoint, ns=(about.st_atime_ns, about.st_mtime_ns))
    assert answers[name]["packed"]["state"] == "mapped"
    assert same(answers, second, name)


def ranges(content: bytes, length: int, parts: tuple[str, ...]) -> list[tuple[int, int]]:
    """Where the tensors lie in a safetensors file whose names have one of these parts."""
    header = json.loads(content[8:length])
    return [
        (length + entry["data_offsets"][0], length + entry["data_offsets"][1])
        for name, entry in header.items()
        if any(part in name for part in parts)
    ]


def test_a_damaged_file_is_told_replaced_and_its_weights_never_used(engines: Engines, second: Answers) -> None:
    name = "qwen2-awq"
    file = engines.file(name)
    with file.open("r+b") as opened:
        opened.seek(3 * 4096 + 17)
        (byte,) = opened.read(1)
        opened.seek(-1, os.SEEK_CUR)
        opened.write(bytes([byte ^ 1]))
    answers = engines.start(name)
    assert same(answers, second, name)
    assert "packed weights: converting, for " in answers["process"]["log"]
    assert " is damaged" in answers["process"]["log"]
    assert answers[name]["packed"]["state"] == "made"
    assert engines.start(name)[name]["packed"]["state"] == "mapped"


@pytest.mark.parametrize("change", ["kernels", "checkpoint"])
def test_other_kernels_and_other_weights_are_converted_anew(change: str, engines: Engines, second: Answers) -> None:
    name, other = "qwen2-awq", "qwen2-gptq"
    if change == "kernels":
        answers = engines.start(name, kernels="linear_w4,lm_head")
        assert answers[name]["packed"]["state"] == "made"
        assert len(list(engines.packed(name).iterdir())) == 2  # a rollback finds the one before
    else:
        (config,) = (engines.models / other / "int4").glob("config.json")
        os.utime(config)
        answers = engines.start(other)
        assert answers[other]["packed"]["state"] == "made"
        assert same(answers, second, other)
