"""Which parsers a checkpoint gets by itself: by its chat template where that is known, else by its architecture."""

import pytest

from deployment.checkpoint.families import Family, defaults_for

CHATML = "{% for m in messages %}<|im_start|>{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("architecture", "tools", "reasoning"),
    [
        ("Qwen2ForCausalLM", "hermes", None),
        ("Qwen3ForCausalLM", "hermes", "qwen3"),
        ("Phi3ForCausalLM", "phi4_mini_json", None),
        # Their parsers end the engine where the tokenizer lacks [TOOL_CALLS] or <|python_tag|>, as SmolLM2's does.
        ("MistralForCausalLM", None, None),
        ("LlamaForCausalLM", None, None),
        ("Gemma3ForConditionalGeneration", None, None),
        ("SomethingNewForCausalLM", None, None),
    ],
)
def test_without_a_template_only_parsers_that_suit_every_tokenizer_are_chosen(
    architecture: str, tools: str | None, reasoning: str | None
) -> None:
    assert defaults_for(architecture) == Family(tools, reasoning)


@pytest.mark.parametrize(
    ("architecture", "taught", "tools"),
    [
        ("MistralForCausalLM", "[AVAILABLE_TOOLS]{{ tools }}[TOOL_CALLS]", "mistral"),
        ("LlamaForCausalLM", "{{ '<|python_tag|>' + call }}", "llama3_json"),
        ("LlamaForCausalLM", "<tool_call>\n{{ call | tojson }}</tool_call>", "hermes"),
        ("Qwen2ForCausalLM", "<tool_call>\n{{ call | tojson }}</tool_call>", "hermes"),
        ("Qwen3ForCausalLM", "<tool_call>\n<function={{ call.name }}>", "qwen3_xml"),
        ("Phi3ForCausalLM", "<|tool|>{{ message.tools }}<|/tool|>", "phi4_mini_json"),
        ("Gemma3ForCausalLM", "<start_function_call>call:", "functiongemma"),
        ("Qwen2ForCausalLM", "", None),
        ("Phi3ForCausalLM", "", None),
        ("Gemma3ForConditionalGeneration", "<start_of_turn>model", None),
    ],
)
def test_a_template_decides_by_what_it_teaches(architecture: str, taught: str, tools: str | None) -> None:
    assert defaults_for(architecture, CHATML + taught).tool_call_parser == tools


def test_a_checkpoint_that_cannot_think_gets_no_reasoning_parser() -> None:
    assert defaults_for("Qwen3ForCausalLM", f"{CHATML}{{% if enable_thinking %}}").reasoning_parser == "qwen3"
    assert defaults_for("Qwen3ForCausalLM", CHATML).reasoning_parser is None
    assert defaults_for("Qwen2ForCausalLM", f"{CHATML}{{% if enable_thinking %}}").reasoning_parser is None
