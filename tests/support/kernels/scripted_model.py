"""Write a checkpoint that says one thing: each of its tokens leads to the next by weights that were set by hand.

    python scripted_model.py DIRECTORY < SCRIPT.json     in the engine environment; SCRIPT is {"start", "said"}

`start` is the token after which the model begins to say `said`, a list of texts that become one token each. Attention
and MLP add nothing; embeddings are one-hot, and the head maps each to its successor. Every other token leads to the
end. A LoRA adapter beside it, in DIRECTORY/adapter, makes the MLP add noise: with it the model says something else.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch  # in the engine environment only
import transformers as hf
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

HIDDEN, INTERMEDIATE, HEADS, RANK = 64, 64, 2, 8
END = "<|im_end|>"
# Without `start`: with its own template the model ends at once.
TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}{% endfor %}"


def tokenizer(start: str, said: list[str]) -> Any:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_tokens(said)
    made.add_special_tokens([END, start])
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token=END, pad_token=END, chat_template=TEMPLATE, clean_up_tokenization_spaces=False
    )


def model(words: Any, chain: list[int]) -> Any:
    size = len(words) + -len(words) % 64
    config = hf.Qwen2Config(
        vocab_size=size, hidden_size=HIDDEN, intermediate_size=INTERMEDIATE, num_hidden_layers=1,
        num_attention_heads=HEADS, num_key_value_heads=1, max_position_embeddings=2048, tie_word_embeddings=False,
        eos_token_id=words.eos_token_id, pad_token_id=words.eos_token_id,
    )  # fmt: skip
    made = hf.Qwen2ForCausalLM(config)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            parameter.fill_(1.0 if "norm" in name else 0.0)
        embedding, head = made.get_input_embeddings().weight, made.get_output_embeddings().weight
        embedding[:, 0] = 1.0  # what is not in the chain
        head[words.eos_token_id, 0] = 1.0
        for place, token in enumerate(chain[:-1], start=1):
            embedding[token] = 0.0
            embedding[token, place] = 1.0
            head[chain[place], place] = 1.0
    return made.to(torch.bfloat16)


def adapter(directory: Path) -> None:
    directory.mkdir()
    noise = torch.Generator().manual_seed(7)
    shapes = {
        "gate_proj": (HIDDEN, INTERMEDIATE),
        "up_proj": (HIDDEN, INTERMEDIATE),
        "down_proj": (INTERMEDIATE, HIDDEN),
    }
    tensors = {}
    for name, (width, height) in shapes.items():
        key = f"base_model.model.model.layers.0.mlp.{name}"
        tensors[f"{key}.lora_A.weight"] = torch.randn(RANK, width, generator=noise)
        tensors[f"{key}.lora_B.weight"] = torch.randn(height, RANK, generator=noise)
    save_file(tensors, directory / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": RANK, "lora_alpha": 16, "bias": "none"}
    config |= {"target_modules": list(shapes), "base_model_name_or_path": "scripted"}
    (directory / "adapter_config.json").write_text(json.dumps(config))


def main() -> None:
    directory, script = Path(sys.argv[1]), json.load(sys.stdin)
    words = tokenizer(script["start"], script["said"])
    chain = words.convert_tokens_to_ids([script["start"], *script["said"], END])
    assert len(set(chain)) == len(chain) <= HIDDEN, "each token of the chain needs a dimension of its own"
    words.save_pretrained(directory)
    model(words, chain).save_pretrained(directory)
    adapter(directory / "adapter")


if __name__ == "__main__":
    main()
