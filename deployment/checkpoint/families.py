"""Which of vLLM's parsers a family of models needs, and which there are: read in the sources of vLLM 0.32.0.

Without a tool parser vLLM answers 400 to every request with tools that leaves the choice to the model. Two parsers
end the engine's start where the tokenizer lacks their mark (vllm.parser.parser_manager, validate_parser_tokenizer),
so they are chosen only where the chat template shows that the model was taught it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

TOOL_CALL_PARSERS = (
    "apertus", "cohere_command3", "cohere_command4", "deepseek_v3", "deepseek_v31", "deepseek_v32", "deepseek_v4",
    "deepseek_v41", "dots", "ernie45", "functiongemma", "gemma4", "gigachat3", "glm45", "glm47", "granite",
    "granite-20b-fc", "granite4", "hermes", "hf", "hunyuan_a13b", "hy_v3", "hy_v4", "inkling", "internlm", "jamba",
    "k2_horizon", "kimi_k2", "kimi_k3", "lfm2", "ling3", "llama3_json", "llama4_json", "llama4_pythonic", "longcat",
    "mimo", "minicpm5", "minimax_m2", "minimax_m3", "mistral", "muse_glimmer", "olmo3", "openai", "phi4_mini_json",
    "plamo3", "poolside_v1", "pythonic", "qwen3_coder", "qwen3_json", "qwen3_xml", "seed_oss", "step3", "step3p5",
    "xlam",
)  # fmt: skip
REASONING_PARSERS = (
    "cohere_command3", "cohere_command4", "deepseek_r1", "deepseek_v3", "deepseek_v4", "deepseek_v41", "ernie45",
    "gemma4", "glm45", "glm47", "granite", "granite_thinking_parser", "hf", "holo2", "hunyuan_a13b", "hy_v3", "hy_v4",
    "inkling", "k2_horizon", "kimi_k2", "kimi_k3", "ling3", "mimo", "minicpmv", "minimax_m2",
    "minimax_m2_append_think", "minimax_m3", "mistral", "muse_glimmer", "nemotron_v3", "olmo3", "openai_gptoss",
    "plamo3", "poolside_v1", "qwen3", "seed_oss", "step3", "step3p5",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Family:
    """The parsers of one kind of checkpoint; None where vLLM has none for it."""

    tool_call_parser: str | None = None
    reasoning_parser: str | None = None


# By a mark in the chat template, the most particular first: fine-tunes of one architecture call tools in many ways.
TOOL_MARKS: Mapping[str, str] = {
    "<start_function_call>": "functiongemma",
    "[TOOL_CALLS]": "mistral",
    "<function=": "qwen3_xml",
    "<tool_call>": "hermes",
    "<|python_tag|>": "llama3_json",
    "<|tool|>": "phi4_mini_json",
}
# Qwen3's templates have a switch for thinking; those of checkpoints that never think have none.
REASONING_MARKS: Mapping[str, str] = {"enable_thinking": "qwen3"}

# Where the template is not known. Llama and Mistral are many families under one name, and their parsers end engines
# whose tokenizers lack the mark. Gemma 3 was taught no format of its own, and its template drops the tools.
FAMILIES: Mapping[str, Family] = {
    "Gemma3ForCausalLM": Family(),
    "Gemma3ForConditionalGeneration": Family(),
    "LlamaForCausalLM": Family(),
    "MistralForCausalLM": Family(),
    "Phi3ForCausalLM": Family("phi4_mini_json"),
    "Qwen2ForCausalLM": Family("hermes"),
    "Qwen3ForCausalLM": Family("hermes", "qwen3"),
}


def defaults_for(architecture: str, template: str | None = None) -> Family:
    """Choose the parsers of an architecture, by the text of its chat template where that is known."""
    family = FAMILIES.get(architecture, Family())
    if template is None:
        return family
    reasoning = _marked(REASONING_MARKS, template) if family.reasoning_parser else None
    return Family(_marked(TOOL_MARKS, template), reasoning)


def _marked(marks: Mapping[str, str], template: str) -> str | None:
    return next((parser for mark, parser in marks.items() if mark in template), None)
