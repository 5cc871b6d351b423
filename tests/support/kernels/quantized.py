"""Write the models of an emulated host, and what each must answer: the demonstration's tiny ones, in four bits.

    python -m tests.support.kernels.quantized DEMO OUT

in the engine environment; below DEMO are the demonstration's models

OUT/awq is tiny-qwen2 in AWQ's layout, OUT/online is tiny-phi3 as it is, which `axion_w4` quantizes while it loads,
and OUT/pictures is tiny-gemma3 as it is.
OUT/expected.json has the start of each greedy answer, computed by transformers in float32 from the same four bits, up
to where the two best tokens come so near to each other that rounding may decide.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch  # in the engine environment only
import transformers as hf
from axion_kernels.quantize import quantize_w4
from safetensors.torch import load_file, save_file

from tests.support.kernels.checkpoints import Int4, awq, awq_config, to_int4

GROUP = 32
VERBS, OBJECTS = ("What is", "Name", "Say", "Write"), ("the sea", "a river", "Paris", "one word", "a number", "the fox")
QUESTIONS = tuple(f"{verb} {what}{end}" for verb in VERBS for what in OBJECTS for end in "?.")
TOKENS = 12
CLEAR = 0.02
"""The share of the logits' spread by which the best token leads where bfloat16 cannot change it."""


def as_awq(source: Path, directory: Path) -> Callable[[str, Any], Any]:
    """Write the checkpoint in int4, and return its weights by name as they then are."""
    shutil.copytree(source, directory)
    held: dict[str, Int4] = {}
    tensors = load_file(source / "model.safetensors")
    for name in [name for name in tensors if name.endswith("_proj.weight")]:
        layer = name.removesuffix(".weight")
        held[layer] = to_int4(tensors.pop(name), GROUP, symmetric=False)
        tensors |= awq(layer, held[layer])
    save_file(tensors, directory / "model.safetensors")
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps({**config, "quantization_config": awq_config(GROUP)}, indent=1))
    return lambda layer, _weight: held[layer].dequantized()


def as_loaded(source: Path, directory: Path) -> Callable[[str, Any], Any]:
    """Copy it; the plug-in makes it int4, in the largest groups that fit."""
    shutil.copytree(source, directory)

    def weights(_layer: str, weight: Any) -> Any:
        group = next(size for size in (128, 64, 32) if weight.shape[1] % size == 0)
        made = quantize_w4(weight, group)
        return Int4(made.q.int(), made.zeros.int(), made.scales, group).dequantized()

    return weights


def expected(source: Path, weights: Callable[[str, Any], Any]) -> dict[str, Any]:
    """The question whose answer is certain for the longest, and that much of the answer."""
    model = hf.AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    for layer, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and layer != "lm_head":
            module.weight.data = weights(layer, module.weight.data).float()
    tokenizer = hf.AutoTokenizer.from_pretrained(source)
    answers = {question: certain(model, tokenizer, question) for question in QUESTIONS}
    answers = {question: answer for question, answer in answers.items() if "\ufffd" not in tokenizer.decode(answer)}
    question = max(answers, key=lambda each: len(answers[each]))
    answer = answers[question]
    assert len(answer) > 1, f"{source.name}: no question has an answer that is certain"
    return {"question": question, "tokens": len(answer), "starts": tokenizer.decode(answer, skip_special_tokens=True)}


def certain(model: Any, tokenizer: Any, question: str) -> list[int]:
    """The tokens of its greedy answer up to the first that is not clear."""
    turns = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    seen, answer = prompt["input_ids"], list[int]()
    while len(answer) < TOKENS:
        logits = model(seen).logits[0, -1]
        best = logits.topk(2).values
        if (best[0] - best[1]) < CLEAR * (logits.max() - logits.min()):
            break
        answer.append(int(logits.argmax()))
        seen = torch.cat([seen, logits.argmax()[None, None]], 1)
    return answer


def main() -> None:
    demo, out = map(Path, sys.argv[1:])
    shutil.rmtree(out, ignore_errors=True)
    answers = {}
    with torch.inference_mode():
        for name, source, write in (("awq", "tiny-qwen2", as_awq), ("online", "tiny-phi3", as_loaded)):
            answers[name] = expected(demo / source, write(demo / source, out / name))
    shutil.copytree(demo / "tiny-gemma3", out / "pictures")
    for weights in out.glob("*/*.safetensors"):
        weights.chmod(0o644)  # they come out with mode 0600, and another user serves them
    (out / "expected.json").write_text(json.dumps(answers, indent=1) + "\n")


if __name__ == "__main__":
    main()
