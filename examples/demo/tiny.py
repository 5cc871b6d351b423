"""Random-weight checkpoints in the shapes of families that people serve: small enough to start four at once.

The configuration classes, attention patterns, rotary scaling and turn markers are the families' own; the weights are
noise from a fixed seed, so that greedy output is the same on every run and means nothing.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch  # type: ignore[import-not-found]  # in the engine environment only
import transformers as hf  # type: ignore[import-not-found]
from safetensors.torch import load_file, save_file  # type: ignore[import-not-found]
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers  # type: ignore[import-not-found]

SEED = 20260
VOCABULARY = 512
CONTEXT = 2048
HIDDEN = 64
HEADS = 2
HEAD_DIM = 32  # the smallest that vLLM's attention on CPUs accepts

# What the tokenizer is trained on, so that common text takes few tokens.
CORPUS = """\
The quick brown fox jumps over the lazy dog. A server routes each request to one of several models.
You are a helpful assistant. The user asks a question and the assistant answers in one short sentence.
What is the capital of France? Name three rivers. Write one line about the sea. Say hello to the world.
It measures latency, throughput and memory; the operator reads the numbers and changes one setting.
def fibonacci(n): return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)
Numbers: 0 1 2 3 4 5 6 7 8 9 10 42 100 1000. {"name": "tool", "arguments": {"city": "Paris"}}
"""

CHATML = """\
{% for message in messages %}<|im_start|>{{ message.role }}{{ '\\n' }}{{ message.content }}<|im_end|>{{ '\\n' }}\
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant{{ '\\n' }}{% endif %}"""
PHI = """\
{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>{% endfor %}\
{% if add_generation_prompt %}<|assistant|>{% else %}{{ eos_token }}{% endif %}"""
# Gemma has no system turn: that text leads the first user turn. A loop over `message.content` itself tells vLLM that
# content may be a list of parts; without one no picture would reach the prompt.
GEMMA = """\
{{ bos_token }}{% for message in messages %}{% if loop.first or loop.previtem.role != 'system' %}\
<start_of_turn>{{ {'assistant': 'model', 'system': 'user'}.get(message.role, message.role) }}{{ '\\n' }}{% endif %}\
{% if message.content is string %}{{ message.content | trim }}{% else %}{% for part in message.content %}\
{% if part.type == 'image' %}<start_of_image>{% elif part.type == 'text' %}{{ part.text | trim }}{% endif %}\
{% endfor %}{% endif %}{{ '\\n\\n' if message.role == 'system' else '<end_of_turn>\\n' }}{% endfor %}\
{% if add_generation_prompt %}<start_of_turn>model{{ '\\n' }}{% endif %}"""

MARKS = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
NEWLINES = ["\n" * count for count in range(1, 5)]
PICTURE, PATCH, PICTURE_TOKENS = 56, 14, 4

CARD = """\
# {name}

{cls} in the shape of {family}, with {count:,} random bfloat16 parameters from seed {seed}: trained on nothing, its
answers mean nothing. It exists to exercise loading, routing and streaming of that architecture.
Written by examples/demo/make_models.py.
"""


def write(name: str, directory: Path, _source: Path | None) -> str:
    """Write the model into an existing directory and return its card."""
    family, make = FAMILIES[name]
    torch.manual_seed(SEED)
    model, reader, ends = make()
    tokenizer = getattr(reader, "tokenizer", reader)
    model = model.to(torch.bfloat16).eval()
    ids = {**_special_ids(tokenizer), "eos_token_id": tokenizer.convert_tokens_to_ids(ends)}
    model.generation_config = hf.GenerationConfig(**ids)
    model.save_pretrained(directory)
    reader.save_pretrained(directory)
    _name_as_published(directory / "model.safetensors")
    count = sum(parameter.numel() for parameter in model.parameters())
    return CARD.format(name=name, cls=type(model).__name__, family=family, count=count, seed=SEED)


def _name_as_published(path: Path) -> None:
    """Name an image tower's tensors as published checkpoints do, and vLLM: transformers 5 leaves out a level."""
    short, published = "vision_tower.", "vision_tower.vision_model."
    weights = {name.replace(short, published): weight for name, weight in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})


def _tokenizer(
    specials: list[str],
    template: str,
    *,
    eos: str,
    pad: str,
    bos: str | None = None,
    words: Sequence[str] = (),
    **more: Any,
) -> Any:
    """Train a byte-level BPE tokenizer with these special tokens, and with words that are one token each."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(words),
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS.splitlines(), trainer)
    tokenizer.add_tokens(list(words))
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=bos,
        eos_token=eos,
        pad_token=pad,
        model_max_length=CONTEXT,
        chat_template=template,
        clean_up_tokenization_spaces=False,
        **more,
    )


def _special_ids(tokenizer: Any) -> dict[str, int | None]:
    return {f"{kind}_token_id": getattr(tokenizer, f"{kind}_token_id") for kind in ("bos", "eos", "pad")}


def _shape(tokenizer: Any, *, layers: int, intermediate: int, spread: float = 0.2) -> dict[str, Any]:
    return {
        **_special_ids(tokenizer),
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": 1,
        "max_position_embeddings": CONTEXT,
        "tie_word_embeddings": True,
        # The usual 0.02 gives almost flat logits at this width: greedy output would repeat one token.
        "initializer_range": spread,
    }


def qwen2() -> tuple[Any, Any, list[str]]:
    tokenizer = _tokenizer(
        ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], CHATML, eos="<|im_end|>", pad="<|endoftext|>"
    )
    config = hf.Qwen2Config(
        **_shape(tokenizer, layers=2, intermediate=128),
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
    )
    return hf.Qwen2ForCausalLM(config), tokenizer, ["<|im_end|>", "<|endoftext|>"]


def phi3() -> tuple[Any, Any, list[str]]:
    """Phi-4-mini's shape: three quarters of each head are rotated, and the rotation is scaled for long contexts."""
    end, rotated, short_context = "<|endoftext|>", 0.75, CONTEXT // 2
    markers = ["<|system|>", "<|user|>", "<|assistant|>", "<|end|>"]
    tokenizer = _tokenizer([end, *markers], PHI, eos=end, pad=end, bos=end)
    pairs = int(HEAD_DIM * rotated) // 2
    config = hf.Phi3Config(
        **_shape(tokenizer, layers=2, intermediate=128),
        original_max_position_embeddings=short_context,
        partial_rotary_factor=rotated,
        sliding_window=None,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10_000.0,
            "partial_rotary_factor": rotated,
            "original_max_position_embeddings": short_context,
            "short_factor": [1.0] * pairs,
            "long_factor": [1 + pair / 10 for pair in range(pairs)],
        },
    )
    return hf.Phi3ForCausalLM(config), tokenizer, [end, "<|end|>"]


def gemma3() -> tuple[Any, Any, list[str]]:
    """Gemma 3's pattern, five layers that see a window, then one that sees everything; behind its image tower."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>", *MARKS.values()]
    tokenizer = _tokenizer(
        # The processor looks up the runs of newlines that it puts around a picture.
        specials,
        GEMMA,
        eos="<eos>",
        pad="<pad>",
        bos="<bos>",
        words=NEWLINES,
        extra_special_tokens=MARKS,
    )
    text = hf.Gemma3TextConfig(
        # Gemma multiplies embeddings by the root of the width: at 0.2 each token would only predict itself.
        **_shape(tokenizer, layers=6, intermediate=96, spread=0.02),
        head_dim=HEAD_DIM,
        query_pre_attn_scalar=HEAD_DIM,
        sliding_window=512,
        layer_types=[*["sliding_attention"] * 5, "full_attention"],
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
            "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1_000_000.0},
        },
    )
    vision = hf.SiglipVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        image_size=PICTURE,
        patch_size=PATCH,
        vision_use_head=False,
    )
    config = hf.Gemma3Config(
        text_config=text,
        vision_config=vision,
        mm_tokens_per_image=PICTURE_TOKENS,
        **{
            f"{kind}_token_index": tokenizer.convert_tokens_to_ids(MARKS[f"{kind}_token"])
            for kind in ("image", "boi", "eoi")
        },
    )
    model = hf.Gemma3ForConditionalGeneration(config)
    # It begins with zeros: no picture would change an answer.
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.2)
    # The output head is the embedding: with rows of zeros marks, single bytes and newlines never win, and what it says
    # can be read.
    embedding = model.get_input_embeddings().weight.data
    embedding[: len(specials) + 256] = embedding[-len(NEWLINES) :] = 0.0
    pictures = hf.Gemma3ImageProcessor(size={"height": PICTURE, "width": PICTURE})
    reader = hf.Gemma3Processor(pictures, tokenizer, chat_template=GEMMA, image_seq_length=PICTURE_TOKENS)
    return model, reader, ["<eos>", "<end_of_turn>"]


FAMILIES: Mapping[str, tuple[str, Callable[[], tuple[Any, Any, list[str]]]]] = MappingProxyType(
    {
        "tiny-qwen2": ("Qwen2.5", qwen2),
        "tiny-phi3": ("Phi-4-mini", phi3),
        "tiny-gemma3": ("Gemma 3 with its image tower", gemma3),
    }
)
