"""Options of one model and limits of the gateway: what is refused, in which words."""

from pathlib import Path
from typing import Any

import pytest

from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from tests.support.deployments import document, model, write_models
from tests.unit.deployment.models.test_load import bent, only_problem

NGRAM = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4}
SQL = {"sql": {"path": "adapters/sql"}}


def extra(arguments: dict[str, Any]) -> dict[str, Any]:
    return bent({"engine": {"extra_args": arguments}})


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            bent({"engine": {"speculative_config": {"method": "eagle", "num_speculative_tokens": 4}}}),
            'speculative_config.method: not ngram, got "eagle". Give ngram: the only one that needs no further',
        ),
        (
            bent({"engine": {"speculative_config": {"method": "ngram"}}}),
            "speculative_config.num_speculative_tokens: missing. Give how many tokens",
        ),
        (
            bent({"engine": {"speculative_config": {**NGRAM, "prompt_lookup_min": 5}}}),
            "speculative_config.prompt_lookup_min: more than prompt_lookup_max 4, got 5. Lower it, or raise the other.",
        ),
        (
            bent({"engine": {"tool_call_parser": "qwen"}}),
            'engine.tool_call_parser: not a tool parser of vLLM 0.32, got "qwen". Give one of vLLM\'s tool parsers',
        ),
        (
            bent({"engine": {"reasoning_parser": "hermes"}}),
            'engine.reasoning_parser: not a reasoning parser of vLLM 0.32, got "hermes".',
        ),
        (
            bent({"engine": {"tool_call_parser": "hermes", "enable_auto_tool_choice": False}}),
            'tool_call_parser: unused while enable_auto_tool_choice is false, got "hermes". Delete one of the two.',
        ),
        (bent({"engine": {"max_lora_rank": 9}, "lora": SQL}), "engine.max_lora_rank: not one of 1, 8, 16, 32,"),
        (bent({"engine": {"max_loras": 2}}), "engine.max_loras: the model has no adapters, got 2. List them under"),
        (bent({"lora": {"sql": {}}}), "lora.sql.path: missing. Give a directory on the host"),
        (bent({"lora": {"SQL": {"path": "x"}}}), 'lora.SQL: not a usable name, got "SQL". Use up to 31 of a-z'),
        (
            bent({"lora": {"alpha": {"path": "x"}}}),
            'lora.alpha: already names alpha, got "alpha". Choose another name.',
        ),
        (bent({"lora": SQL, "aliases": ["sql"]}), 'lora.sql: already names alpha, got "sql". Choose another name.'),
        (bent({"lora": {"auto": {"path": "x"}}}), 'lora.auto: reserved, it means the default model, got "auto".'),
        (
            document({"alpha": model(lora=SQL), "beta": model(lora=SQL)}),
            'models.beta.lora.sql: already names an adapter of alpha, got "sql". Choose another name.',
        ),
        (bent({"kernels": {"lm_head": "int8"}}), 'kernels.lm_head: not true or false, got "int8".'),
        (bent({"kernels": {"lm-head": True}}), "kernels.lm-head: unknown key, got true. Write lm_head"),
        (
            bent({"kernels": {"lm_head": True}, "engine": {"dtype": "float32"}}),
            "kernels.lm_head: only a bfloat16 output head is made int8, got true. Set dtype to bfloat16.",
        ),
        (
            bent({"kernels": {"axion_w4": False}, "engine": {"quantization": "axion_w4"}}),
            "kernels.axion_w4: axion_w4 cannot be served on Arm without it, got false. Delete it.",
        ),
        (
            extra({"max-model-len": 4096}),
            'extra_args.max-model-len: means max_model_len, which is given already, got "max-model-len". Set engine.',
        ),
        (extra({"max_num_b": 1}), 'means max_num_batched_tokens, which is given already, got "max_num_b". Set engine.'),
        (extra({"no-enable-prefix-caching": True}), "means enable_prefix_caching, which is given already"),
        (extra({"speculative_config.method": "ngram"}), "means speculative_config, which is given already"),
        (extra({"uds": "/tmp/x"}), 'extra_args.uds: means uds, which is given already, got "uds". Delete it.'),
        (
            extra({"kv-cache-dtype": "fp8"}),
            'means kv_cache_dtype, which is given already, got "kv-cache-dtype". An fp8',
        ),
        (extra({"--seed": 3}), 'not the name of an argument, got "--seed". Write it as vLLM does, without dashes'),
        (extra({"seed": None}), "extra_args.seed: vLLM would read the word None, got null."),
        (extra({"async-scheduling": False}), "vLLM drops a false without a word where the argument has no negative"),
        (document(gateway={"response_s": 0}), "gateway.response_s: too small, got 0. Give seconds to the first byte"),
        (document(gateway={"probe_s": "10"}), 'gateway.probe_s: not a number, got "10".'),
        (document(gateway={"stream_idle_s": 90000}), "gateway.stream_idle_s: too large, got 90000."),
        (document(gateway={"max_held": -1}), "gateway.max_held: too small, got -1."),
    ],
)
def test_one_mistake_gives_one_sentence(data: Any, expected: str) -> None:
    assert expected in only_problem(data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            None,
            'engine.chat_template: cannot be read: "own.jinja": No such file or directory. Give a file, relative',
        ),
        (b"\xff", 'cannot be read: "own.jinja": not UTF-8 at byte 1. Give a file, relative to the models file.'),
        (
            b"a\n{% for m in messages %}",
            'not a template that Jinja can read, got "own.jinja" with line 2: Unexpected end',
        ),
        (b"{% endgeneration %}", "Encountered unknown tag 'endgeneration'"),
    ],
)
def test_a_chat_template_that_cannot_be_used_is_refused(text: bytes | None, expected: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "own.jinja").write_bytes(text)
    write_models(tmp_path / "models.yaml", bent({"engine": {"chat_template": "own.jinja"}}))
    with pytest.raises(ConfigError) as caught:
        load_deployment(tmp_path / "models.yaml")
    (problem,) = caught.value.problems
    assert expected in problem


def test_a_chat_template_may_use_what_transformers_adds_to_jinja(tmp_path: Path) -> None:
    text = "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% break %}{% endfor %}"
    (tmp_path / "own.jinja").write_text(text)
    write_models(tmp_path / "models.yaml", bent({"engine": {"chat_template": "own.jinja"}}))
    assert load_deployment(tmp_path / "models.yaml").models["alpha"].engine.chat_template == "own.jinja"
