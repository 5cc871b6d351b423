"""Write small models of random numbers, let vLLM answer with each, and print what they said: SmallModels.

    small_model.py SCRATCH text awq                  two blocks of Qwen2
    small_model.py SCRATCH pictures bfloat16 awq     two blocks of Gemma 3 behind two of its image tower

Runs alone, inside an engine environment. What is proven is the way through the engine: the answers mean nothing, but
another picture has to change them, and the same one must not.
"""

import gc
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

os.environ.update(VLLM_ENABLE_V1_MULTIPROCESSING="0", HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")
torch = importlib.import_module("torch")

WORDS, HIDDEN, INNER, HEADS, KV_HEADS, HEAD, BLOCKS = 512, 128, 256, 4, 2, 32, 2
PICTURE, PATCH, PICTURE_TOKENS = 56, 14, 4
GROUP = 32
AWQ = {
    "quant_method": "awq",
    "bits": 4,
    "group_size": GROUP,
    "zero_point": True,
    "version": "gemm",
    "modules_to_not_convert": ["vision_tower"],
}
DECODER = {
    "vocab_size": WORDS,
    "hidden_size": HIDDEN,
    "intermediate_size": INNER,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "rope_theta": 10000.0,
}
MARKS = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
# Gemma's processor looks up the runs of newlines that it puts around a picture.
NAMED = ("<pad>", "<bos>", "<eos>", *MARKS.values(), "\n", "\n\n", "\n\n\n", "\n\n\n\n")
Answer = Mapping[str, Any]


class Checkpoint:
    """Random tensors by their published names, the decoder's projections in AWQ's layout where that is asked for."""

    def __init__(self, *, is_awq: bool) -> None:
        self.is_awq = is_awq
        self.tensors: dict[str, Any] = {}
        self.seed = torch.Generator().manual_seed(4711)

    def plain(self, name: str, *shape: int, spread: float = 0.2, around: float = 0.0) -> None:
        self.tensors[name] = (torch.randn(*shape, generator=self.seed) * spread + around).bfloat16()

    def norm(self, name: str, size: int, *, around: float = 1.0) -> None:
        self.plain(f"{name}.weight", size, spread=0.01, around=around)

    def projection(self, name: str, n: int, k: int) -> None:
        if not self.is_awq:
            self.plain(f"{name}.weight", n, k)
            return
        nibbles = torch.randint(-(2**31), 2**31, (k, n // 8), generator=self.seed, dtype=torch.int64).int()
        self.tensors[f"{name}.qweight"] = nibbles
        self.tensors[f"{name}.qzeros"] = torch.full((k // GROUP, n // 8), 0x77777777, dtype=torch.int32)
        self.tensors[f"{name}.scales"] = (torch.rand(k // GROUP, n, generator=self.seed) * 0.02 + 0.01).half()

    def block(self, at: str, *, has_bias: bool) -> None:
        """The projections of one decoder block."""
        for part, n in (("q", HEADS * HEAD), ("k", KV_HEADS * HEAD), ("v", KV_HEADS * HEAD)):
            self.projection(f"{at}.self_attn.{part}_proj", n, HIDDEN)
            if has_bias:
                self.plain(f"{at}.self_attn.{part}_proj.bias", n)
        self.projection(f"{at}.self_attn.o_proj", HIDDEN, HEADS * HEAD)
        for part, n, k in (("gate", INNER, HIDDEN), ("up", INNER, HIDDEN), ("down", HIDDEN, INNER)):
            self.projection(f"{at}.mlp.{part}_proj", n, k)

    def tower(self, at: str) -> None:
        """An image tower, never quantized."""
        self.plain(f"{at}.embeddings.patch_embedding.weight", HIDDEN, 3, PATCH, PATCH)
        self.plain(f"{at}.embeddings.patch_embedding.bias", HIDDEN)
        self.plain(f"{at}.embeddings.position_embedding.weight", (PICTURE // PATCH) ** 2, HIDDEN)
        norms = [f"encoder.layers.{block}.layer_norm{which}" for block in range(BLOCKS) for which in (1, 2)]
        for norm in (*norms, "post_layernorm"):
            self.norm(f"{at}.{norm}", HIDDEN)
            self.plain(f"{at}.{norm}.bias", HIDDEN)
        layers = [(f"self_attn.{part}_proj", HIDDEN, HIDDEN) for part in ("q", "k", "v", "out")]
        layers += [("mlp.fc1", INNER, HIDDEN), ("mlp.fc2", HIDDEN, INNER)]
        for block in range(BLOCKS):
            for name, n, k in layers:
                self.plain(f"{at}.encoder.layers.{block}.{name}.weight", n, k)
                self.plain(f"{at}.encoder.layers.{block}.{name}.bias", n)

    def save(self, directory: Path, config: Mapping[str, Any]) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        importlib.import_module("safetensors.torch").save_file(self.tensors, directory / "model.safetensors")
        quantized = {"quantization_config": AWQ} if self.is_awq else {}
        written = {**config, "torch_dtype": "bfloat16", "tie_word_embeddings": True, **quantized}
        (directory / "config.json").write_text(json.dumps(written))


def write_qwen2(directory: Path, *, is_awq: bool) -> None:
    made = Checkpoint(is_awq=is_awq)
    made.plain("model.embed_tokens.weight", WORDS, HIDDEN, spread=1.0)
    made.norm("model.norm", HIDDEN)
    for block in range(BLOCKS):
        at = f"model.layers.{block}"
        for norm in ("input", "post_attention"):
            made.norm(f"{at}.{norm}_layernorm", HIDDEN)
        made.block(at, has_bias=True)
    made.save(
        directory, {**DECODER, "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu"}
    )


def write_gemma3(directory: Path, *, is_awq: bool) -> None:
    made, text = Checkpoint(is_awq=is_awq), "language_model.model"
    # Gemma multiplies embeddings by the root of the width: at the usual spread each token would only predict itself.
    made.plain(f"{text}.embed_tokens.weight", WORDS, HIDDEN, spread=0.02)
    made.norm(f"{text}.norm", HIDDEN, around=0.0)
    for block in range(BLOCKS):
        at = f"{text}.layers.{block}"
        for norm in ("input", "post_attention", "pre_feedforward", "post_feedforward"):
            made.norm(f"{at}.{norm}_layernorm", HIDDEN, around=0.0)
        for norm in ("q_norm", "k_norm"):
            made.norm(f"{at}.self_attn.{norm}", HEAD, around=0.0)
        made.block(at, has_bias=False)
    made.tower("vision_tower.vision_model")
    made.plain("multi_modal_projector.mm_input_projection_weight", HIDDEN, HIDDEN)
    made.norm("multi_modal_projector.mm_soft_emb_norm", HIDDEN, around=0.0)
    gemma = {"model_type": "gemma3_text", "head_dim": HEAD, "query_pre_attn_scalar": HEAD, "sliding_window": 64}
    kinds = {"layer_types": ["sliding_attention", "full_attention"], "hidden_activation": "gelu_pytorch_tanh"}
    siglip = {"model_type": "siglip_vision_model", "hidden_size": HIDDEN, "intermediate_size": INNER}
    siglip |= {"num_hidden_layers": BLOCKS, "num_attention_heads": HEADS, "vision_use_head": False}
    made.save(
        directory,
        {
            "architectures": ["Gemma3ForConditionalGeneration"],
            "model_type": "gemma3",
            "text_config": {**DECODER, **gemma, **kinds},
            "vision_config": {**siglip, "image_size": PICTURE, "patch_size": PATCH},
            "mm_tokens_per_image": PICTURE_TOKENS,
            **{f"{kind}_token_index": NAMED.index(MARKS[f"{kind}_token"]) for kind in ("image", "boi", "eoi")},
        },
    )
    _write_processor(directory)


def _write_processor(directory: Path) -> None:
    """What turns words and pictures into tokens; each word of the vocabulary is a token."""
    tokenizers, transformers = (importlib.import_module(name) for name in ("tokenizers", "transformers"))
    words = [*NAMED, *(f"w{token}" for token in range(len(NAMED), WORDS))]
    known = tokenizers.models.WordLevel({word: token for token, word in enumerate(words)}, "<pad>")
    tokenizer = tokenizers.Tokenizer(known)
    tokenizer.add_tokens([tokenizers.AddedToken(word, normalized=False) for word in NAMED])
    ends = {f"{kind}_token": f"<{kind}>" for kind in ("pad", "bos", "eos")}
    whole = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, extra_special_tokens=MARKS, **ends)
    whole.save_pretrained(directory)
    both = {"processor_class": "Gemma3Processor", "image_seq_length": PICTURE_TOKENS}
    (directory / "processor_config.json").write_text(json.dumps(both))
    size = {"size": {"height": PICTURE, "width": PICTURE}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    image = {**both, **size, "image_processor_type": "Gemma3ImageProcessor"}
    (directory / "preprocessor_config.json").write_text(json.dumps(image))


def load(directory: Path, **options: Any) -> Any:
    return importlib.import_module("vllm").LLM(
        str(directory), dtype="bfloat16", max_model_len=256, max_num_seqs=2, seed=0, enforce_eager=True,
        kv_cache_memory_bytes=32 << 20, **options,
    )  # fmt: skip


def ask(engine: Any, prompt: Mapping[str, Any], **options: Any) -> Any:
    params = importlib.import_module("vllm").SamplingParams(
        temperature=0, max_tokens=8, ignore_eos=True, detokenize=False, **options
    )
    return engine.generate([prompt], params, use_tqdm=False)[0].outputs[0]


def answer_text(directory: Path, *, is_awq: bool) -> Answer:
    write_qwen2(directory, is_awq=is_awq)
    engine = load(directory, skip_tokenizer_init=True)
    chosen = ask(engine, {"prompt_token_ids": [3, 141, 59, 26, 53]}, logprobs=1)
    return {"tokens": list(chosen.token_ids), "logprob": chosen.cumulative_logprob}


def answer_pictures(directory: Path, *, is_awq: bool) -> Answer:
    extension = importlib.import_module("torchvision.extension")  # what is missing or broken says so by itself
    name = "Gemma3ForConditionalGeneration"
    gemma3 = getattr(importlib.import_module("vllm.model_executor.models.gemma3_mm"), name)
    # Or vLLM would import itself again, in a process of its own, to look at the class.
    importlib.import_module("vllm").ModelRegistry.register_model(name, gemma3)
    write_gemma3(directory, is_awq=is_awq)
    engine = load(directory, limit_mm_per_prompt={"image": 1})
    ask(engine, {"prompt_token_ids": [3]})  # before anything longer has prepared the processor for it
    image = importlib.import_module("PIL.Image")
    tokens = {}
    for asked, colour in (("red", "red"), ("white", "white"), ("red_again", "red")):
        picture = {"image": image.new("RGB", (PICTURE, PICTURE), colour)}
        prompt = {"prompt": f"<bos>{MARKS['boi_token']}w20", "multi_modal_data": picture}
        tokens[asked] = list(ask(engine, prompt).token_ids)
    version = importlib.import_module("torchvision").__version__
    return {"torchvision": version, "has_operators": extension._has_ops(), **tokens}


ANSWERS: Mapping[str, Callable[..., Answer]] = {"text": answer_text, "pictures": answer_pictures}


def report() -> Any:
    """What the plug-in told of the layers that it holds so far; none where there is no plug-in."""
    path = Path(os.environ.get("AXION_KERNELS_REPORT", ""))
    return json.loads(path.read_text()) if path.is_file() else None


def main() -> None:
    scratch, what, *kinds = sys.argv[1:]
    told = {}
    for kind in kinds:
        answer = ANSWERS[what](Path(scratch) / f"{what}-{kind}", is_awq=kind == "awq")
        told[kind] = {**answer, "report": report()}
        gc.collect()  # an engine and its cache, before the next
    # Written by hand: it runs alone, beside no module of ours.
    print(json.dumps({"schema": "axion.small-models/1", what: told}))


if __name__ == "__main__":
    main()
