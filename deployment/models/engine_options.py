"""The parts of a model's stanza that say more than one value: speculation, kernels, adapters, parsers."""

import json
from collections.abc import Collection
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, JsonValue, WithJsonSchema

from deployment.checkpoint.families import REASONING_PARSERS, TOOL_CALL_PARSERS
from deployment.frozen import Count, Frozen, Switch


def _parser(known: Collection[str], what: str, value: str) -> str:
    if value not in known:
        raise ValueError(f"not a {what} parser of vLLM 0.32")
    return value


def _argument(value: Any) -> Any:
    """Refuse what vLLM 0.32's reader of configuration files drops or turns into another value without a word."""
    if value is None:
        raise ValueError("vLLM would read the word None")
    if value is False:
        raise ValueError("vLLM drops a false without a word where the argument has no negative form")
    if value in ([], ""):
        raise ValueError("vLLM drops it without a word")
    return value


ToolCallParser = Annotated[
    str,
    AfterValidator(partial(_parser, TOOL_CALL_PARSERS, "tool")),
    WithJsonSchema({"type": "string", "enum": list(TOOL_CALL_PARSERS)}),
]
ReasoningParser = Annotated[
    str,
    AfterValidator(partial(_parser, REASONING_PARSERS, "reasoning")),
    WithJsonSchema({"type": "string", "enum": list(REASONING_PARSERS)}),
]
ExtraArgument = Annotated[JsonValue, AfterValidator(_argument), WithJsonSchema({})]


def _in_json(value: Any) -> Any:
    """Refuse what JSON has no word for: it would end every request."""
    try:
        json.dumps(value, allow_nan=False)
    except ValueError:
        raise ValueError("not a number that JSON has") from None
    return value


RequestValue = Annotated[JsonValue, AfterValidator(_in_json), WithJsonSchema({})]


class Speculation(Frozen):
    """Several tokens a step, guessed from the text of the prompt and the answer so far."""

    method: Literal["ngram"] = Field(description="ngram: the only one that needs no further model")
    """How tokens are guessed. `ngram` finds the last tokens earlier in the text, and guesses what followed them there.
    """
    num_speculative_tokens: Count = Field(description="how many tokens are guessed at once")
    """More tokens: faster where the guess is right, slower where it is wrong. 2 to 5 is usual."""
    prompt_lookup_max: Count | None = Field(None, description="the longest run of tokens that is looked up")
    """Longer runs are found less often, and guess better. Left out, vLLM decides."""
    prompt_lookup_min: Count | None = Field(None, description="the shortest run of tokens that is looked up")
    """Shorter runs are not looked up. At most `prompt_lookup_max`. Left out, vLLM decides."""


class Kernels(Frozen):
    """Changes of the plug-in's defaults (kernels/python/axion_kernels/switches.py)."""

    linear_w4: Switch | None = Field(None, description="true or false: AWQ, GPTQ and compressed-tensors int4 layers")
    """Multiplies the layers of 4-bit checkpoints. On by default. On Arm such a checkpoint cannot be served without it.
    """
    axion_w4: Switch | None = Field(None, description="true or false: the online quantization axion_w4")
    """Makes and multiplies the 4-bit weights of `quantization: axion_w4`. On by default, and needed for it."""
    sampler: Switch | None = Field(None, description="true or false: sampling without sorting the vocabulary")
    """Chooses the next token. On by default."""
    penalties: Switch | None = Field(None, description="true or false: penalties on the tokens that were said alone")
    """Applies repetition, frequency and presence penalties. On by default."""
    speculation: Switch | None = Field(
        None, description="true or false: guesses are checked by drawing as without them"
    )
    """Decides which guessed tokens stay. On by default. Without it, vLLM 0.32 cannot serve `speculative_config` with
    temperature, top_p or top_k.
    """
    lm_head: Switch | None = Field(None, description="true or false: int8 weights for the output head (default: false)")
    """Makes the last layer smaller and faster. Off by default: it rounds weights that the checkpoint does not quantize.
    Only with bfloat16.
    """
    rms_norm: Switch | None = Field(None, description="true or false: RMSNorm")
    """A normalisation that most models use. On by default."""
    gemma_rms_norm: Switch | None = Field(None, description="true or false: Gemma's RMSNorm")
    """The normalisation of Gemma models. On by default."""
    rotary_embedding: Switch | None = Field(
        None, description="true or false: rotary position embedding (default: false)"
    )
    """Gives the model the position of each token. Off by default: vLLM has its own compiled kernel."""
    silu_and_mul: Switch | None = Field(None, description="true or false: the activation SwiGLU")
    """An activation of Llama, Qwen, Mistral and Phi models. On by default, where the processor has NEON or SVE2."""
    gelu_and_mul: Switch | None = Field(None, description="true or false: the activation GeGLU")
    """An activation of Gemma models. On by default, where the processor has NEON or SVE2."""

    @property
    def variable(self) -> str | None:
        """What AXION_KERNELS is set to: the changes alone, so that what is on by default stays as it is."""
        said = [f"{'+' if is_on else '-'}{name}" for name, is_on in self if is_on is not None]
        return ",".join(said) or None


class Adapter(Frozen):
    """A LoRA adapter, served under its own name beside the model that it changes."""

    path: str = Field(min_length=1, description="a directory on the host, absolute or relative")
    """Where the adapter's files are: adapter_config.json and adapter_model.safetensors. A relative path starts at the
    same place as that of `weights`.
    """
