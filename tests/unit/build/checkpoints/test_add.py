"""Models are added, updated and removed by one command each, against a hub that holds the four models' public files.

File lists, configurations and headers are as published; of weights there is nothing but their length.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.models.load import load_deployment
from tests.support.fakes.hub import FakeHub, Repository, fake_hub
from tests.support.hollow import TINY, repository_files, write_checkpoint
from tests.support.published import CONFIGS, TEMPLATES

REPOSITORY = Path(__file__).parents[4]
FAB = str(Path(sys.executable).with_name("fab"))
PRODUCTION = yaml.safe_load((REPOSITORY / "models.yaml").read_text())["models"]
COMMIT = "c0ffee" * 6 + "c0ff"
FIRST = """\
# Ours.
default_model: tiny

models:
  tiny: # the first
    description: A small one
    weights: {path: tiny}
    cores: 1
    engine: {max_model_len: 1024, kv_cache_memory_bytes: 64MiB}
"""


def published() -> dict[str, Repository]:
    """The four production repositories at their pinned commits."""
    found = {}
    for name, config in CONFIGS.items():
        weights = PRODUCTION[name]["weights"]
        more = {
            "tokenizer_config.json": json.dumps({"chat_template": TEMPLATES[name]}).encode(),
            "README.md": b"#" * 2000,
            "original/consolidated.00.pth": b"x" * 2000,
        }
        found[weights["hub"]] = Repository(weights["revision"], {**repository_files(config), **more})
    return found


@pytest.fixture(scope="module")
def four() -> Iterator[FakeHub]:
    with fake_hub() as hub:
        hub.repositories |= published()
        yield hub


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A models file that serves one directory, and whose lock knows it."""
    write_checkpoint(tmp_path / "tiny")
    models = tmp_path / "models.yaml"
    models.write_text(FIRST)
    return models


def fab(file: Path, hub: FakeHub, *words: str, status: int = 0) -> str:
    env = {key: value for key, value in os.environ.items() if key not in ("HF_TOKEN", "AXION_MODELS")}
    env |= {"HF_ENDPOINT": hub.url, "COLUMNS": "200", "AXION_MODELS": str(file)}
    done = subprocess.run(
        [FAB, *words], cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize("name", ["systemd", "all"])
def test_a_name_that_means_something_is_refused_before_anything_is_read(name: str, file: Path, four: FakeHub) -> None:
    asked = len(four.requests)
    said = fab(file, four, "models-add", "Qwen/Qwen2.5-Coder-7B-Instruct-AWQ", "--name", name, status=1)
    assert said.startswith(f"models.{name}: reserved, it ")
    assert said.endswith(f', got "{name}". Choose another: --name.\n')
    assert (file.read_text(), len(four.requests)) == (FIRST, asked)


def locked(file: Path) -> dict[str, Any]:
    models: dict[str, Any] = json.loads(file.with_suffix(".lock.json").read_text())["models"]
    return models


def test_a_directory_is_described_where_the_file_names_it(file: Path, four: FakeHub) -> None:
    assert "tiny: tiny, 209.1 KiB of tensors" in fab(file, four, "models-update", "all")
    assert locked(file)["tiny"]["path"] == "tiny"
    assert load_deployment(file).models["tiny"].checkpoint.shape.num_hidden_layers == 2


# Bytes of weights in the files, as the repositories list them, and as loaded: 16 bits but for what is packed.
SIZES = {
    "gemma3_multimodal": (18_467_142_880, 19_667_066_080),
    "mistral_balanced": (4_163_379_200, 4_245_168_128),
    "qwen_coder": (5_570_747_392, 5_647_215_616),
    "phi4_fast": (7_672_043_520, 7_672_043_520),
}
PARSERS = {"mistral_balanced": "mistral", "qwen_coder": "hermes", "phi4_fast": "phi4_mini_json"}


@pytest.mark.parametrize("name", CONFIGS)
def test_each_production_model_is_added_by_one_command_that_reads_no_weights(
    file: Path, four: FakeHub, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    fab(file, four, "models-update", "all")
    hub, commit = PRODUCTION[name]["weights"].values()
    before = four.read_bytes + four.sent_bytes
    said = fab(file, four, "models-add", hub, "--name", name, "--cores", "2")
    read = four.read_bytes + four.sent_bytes - before
    assert 0 < read < 5_000_000
    text = file.read_text()
    assert text.startswith(FIRST)
    stanza = text.removeprefix(FIRST)
    assert len(stanza.splitlines()) <= 8
    entry = locked(file)[name]
    assert (entry["hub"], entry["commit"]) == (hub, commit)
    found = load_deployment(file).models[name].checkpoint
    assert (found.tensors.size, found.tensors.loaded_bytes(2)) == SIZES[name]
    assert found.parsers.tool_call_parser == PARSERS.get(name)
    weights = {path: file["size"] for path, file in entry["files"].items() if path.endswith(".safetensors")}
    assert "original/consolidated.00.pth" not in entry["files"]
    if name == "phi4_fast":
        assert sum(weights.values()) == 7_672_066_216, "as published"
    with capsys.disabled():
        print(f"\n{said.splitlines()[0]}\n{stanza}    files {sum(weights.values()):,} bytes, {read:,} bytes read")


def test_the_committed_lock_says_what_the_published_files_say(file: Path, four: FakeHub) -> None:
    committed = json.loads((REPOSITORY / "models.lock.json").read_text())["models"]
    fab(file, four, "models-update", "all")
    for name in CONFIGS:
        hub = PRODUCTION[name]["weights"]["hub"]
        fab(file, four, "models-add", hub, "--name", name, "--cores", "2")
        found = locked(file)[name]
        assert found["checkpoint"]["tensors"].pop("digest")
        assert committed[name]["checkpoint"] == found["checkpoint"]
        assert (committed[name]["hub"], committed[name]["commit"]) == (hub, found["commit"])


def test_a_branch_that_moved_is_pinned_anew_where_it_stands(file: Path, four: FakeHub) -> None:
    fab(file, four, "models-update", "all")
    four.repositories["org/moving"] = Repository("1" * 40, repository_files(TINY))
    fab(file, four, "models-add", "org/moving")
    four.repositories["org/moving"] = Repository(COMMIT, repository_files({**TINY, "num_hidden_layers": 3}))
    before = file.read_text()
    fab(file, four, "models-update", "moving", "--revision", "main")
    assert file.read_text() == before.replace(f"'{'1' * 40}'", COMMIT)
    assert locked(file)["moving"]["checkpoint"]["shape"]["num_hidden_layers"] == 3


def test_a_model_that_is_removed_leaves_both_files(file: Path, four: FakeHub) -> None:
    fab(file, four, "models-update", "all")
    four.repositories["org/passing"] = Repository("1" * 40, repository_files(TINY))
    fab(file, four, "models-add", "org/passing")
    fab(file, four, "models-remove", "passing")
    assert file.read_text() == FIRST
    assert set(locked(file)) == {"tiny"}


def with_files(**changes: Any) -> dict[str, bytes]:
    files = repository_files(TINY)
    for name, content in changes.items():
        path = name.replace("__", ".").replace("_of_", "-of-")
        if content is None:
            files.pop(path)
        else:
            files[path] = content
    return files


REFUSED = {
    "org/gguf": ({"model.gguf": b"g" * 2000}, "GGUF alone, got model.gguf."),
    "org/bin": ({"config.json": b"{}", "pytorch_model.bin": b"b" * 2000}, "no *.safetensors, got pytorch_model.bin."),
    "org/adapter": (
        {"adapter_config.json": b"{}", "adapter_model.safetensors": b"a" * 2000},
        "an adapter and no model, got adapter_config.json.",
    ),
    "org/mistral": (
        {"consolidated.safetensors": b"c" * 2000, "params.json": b"{}"},
        "no config.json, got consolidated.safetensors, which is Mistral's own format.",
    ),
    "org/pointer": (
        {**repository_files(TINY), "model.safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"},
        "model.safetensors is a pointer of git LFS in place of the file, got 56 bytes.",
    ),
    "org/mute": (
        {name: each for name, each in repository_files(TINY).items() if name != "tokenizer.json"},
        "no tokenizer: none of spiece.model, tekken.json, tokenizer.json, tokenizer.model, vocab.json.",
    ),
    "org/mamba": (repository_files(TINY) | {"config.json": b'{"architectures": ["MambaForCausalLM"]}'}, "Mamba"),
    "org/fp8": (
        repository_files(TINY)
        | {"config.json": json.dumps({**TINY, "quantization_config": {"quant_method": "fp8"}}).encode()},
        'quantization_config.quant_method: not served on Arm, got "fp8".',
    ),
    "org/short": (
        repository_files({**TINY, "num_hidden_layers": 1}) | {"config.json": json.dumps(TINY).encode()},
        "layers are missing, got 1 of 2 in model.layers without 1.",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_served_is_refused_and_nothing_is_written(file: Path, four: FakeHub, name: str) -> None:
    fab(file, four, "models-update", "all")
    files, sentence = REFUSED[name]
    four.repositories[name] = Repository("3" * 40, files)
    before = file.read_text(), locked(file)
    said = fab(file, four, "models-add", name, status=1)
    assert f"{name}: " in said
    assert sentence in said
    assert (file.read_text(), locked(file)) == before
