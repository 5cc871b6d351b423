"""models.yaml: what is refused, in which words, and all of it at once."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.lock import ModelLock
from deployment.errors import ConfigError
from deployment.models.load import load_deployment, parse_deployment
from tests.support.deployments import document, lock_of, model
from tests.support.hollow import checkpoint
from tests.support.published import CONFIGS

REPOSITORY = Path(__file__).parents[4]
DATA = Path(__file__).parents[3] / "support" / "data"


def problems_of(data: Any, checkpoints: Mapping[str, Checkpoint] | None = None) -> list[str]:
    text = data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False)
    lock = lock_of(None if isinstance(data, str) else data, checkpoints)
    with pytest.raises(ConfigError) as caught:
        parse_deployment(text, "models.yaml", lock)
    return list(caught.value.problems)


def only_problem(data: Any, checkpoints: Mapping[str, Checkpoint] | None = None) -> str:
    problems = problems_of(data, checkpoints)
    assert len(problems) == 1, problems
    return problems[0]


def test_the_production_file_serves_the_four_targets_under_their_ids() -> None:
    deployment = load_deployment(REPOSITORY / "models.yaml")
    assert set(deployment.models) == {"phi4_fast", "qwen_coder", "mistral_balanced", "gemma3_multimodal"}
    quantized = {name: model.engine.quantization for name, model in deployment.models.items()}
    assert quantized == dict.fromkeys(deployment.models) | {"phi4_fast": "axion_w4"}
    facts = {name: served.checkpoint for name, served in deployment.models.items()}
    methods = {name: found.quantization and found.quantization.method for name, found in facts.items()}
    assert methods == dict.fromkeys(deployment.models, "awq") | {"phi4_fast": None}


def test_the_names_that_existing_clients_use_reach_the_four_targets() -> None:
    models = load_deployment(REPOSITORY / "models.yaml").models
    owner = {alias: name for name, model in models.items() for alias in model.aliases}
    assert owner["phi4-fast"] == owner["phi3:mini"] == owner["fast_response"] == "phi4_fast"
    assert owner["qwen25-coder"] == owner["qwen2.5-coder"] == "qwen_coder"
    assert owner["mistral7b-balanced"] == owner["balanced"] == "mistral_balanced"
    assert owner["gemma3-27b"] == owner["multimodal"] == "gemma3_multimodal"


def test_keys_are_refused_by_the_rule_for_them() -> None:
    assert only_problem(document({"alpha": model(engine={"limit_mm_per_prompt": {"images": 0}})})).endswith(
        'limit_mm_per_prompt.images: not a usable name, got "images". Use image, audio or video.'
    )
    rules = {"Two Words": {"model": "alpha", "tools": False}}
    assert only_problem(document(routing={"rules": rules})).endswith(
        'routing.rules.Two Words: not a usable name, got "Two Words". Use up to 31 of a-z, 0-9, _ and -, starting with '
        "a letter or digit: it is part of a header."
    )


def test_a_part_without_its_keys_is_asked_for_them() -> None:
    assert only_problem(document(gateway=None)).endswith(
        " gateway: not a mapping, got null. Give its keys, as docs/configuration.md has them."
    )


@pytest.mark.parametrize("top", [{"default_model": "a"}, {}, {"routing": {"fallback": "a"}}])
def test_a_file_without_any_model_is_a_sentence(top: dict[str, Any]) -> None:
    """Where all that is wrong names the models that there are, and there are none."""
    found = problems_of(yaml.safe_dump({**top, "models": {}}))
    assert found[0].endswith(
        " models: not a mapping with at least one model, got {}. Give a mapping from model name to model."
    )


def test_a_budget_of_output_is_no_longer_than_the_context() -> None:
    assert only_problem(document({"alpha": model(max_output_tokens=1025)})).endswith(
        " models.alpha.max_output_tokens: more than max_model_len 1024, got 1025. It would cap nothing: lower it, or "
        "delete it."
    )


@pytest.mark.parametrize("origin", ["https://chat.example.com:443", "http://localhost:80"])
def test_an_origin_is_as_browsers_write_it(origin: str) -> None:
    assert only_problem(document(gateway={"cors_origins": ["http://localhost:3000", origin]})).endswith(
        f' gateway.cors_origins[1]: with a port that browsers leave out, got "{origin}". Give origins such as '
        "https://chat.example.com, or *."
    )


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("/tmp/otlp.sock", "hidden from the gateway"),
        ("otlp.sock", "not of the expected form"),
        ("http://127.0.0.1:4318", "not of the expected form"),
        ("/run/öl.sock", "not of the expected form"),
    ],
)
def test_a_collectors_socket_is_one_that_the_gateway_can_reach(path: str, why: str) -> None:
    assert only_problem(document(gateway={"otlp_socket": path})).endswith(
        f' gateway.otlp_socket: {why}, got "{path}". Give the path of a Unix socket, at most 107 bytes and not below '
        "/tmp, /home, /root or /run/user."
    )


def test_loading_takes_less_than_half_a_second() -> None:
    began = time.perf_counter()
    load_deployment(REPOSITORY / "models.yaml")
    assert time.perf_counter() - began < 0.5


def test_ten_mistakes_in_one_file_are_reported_together_each_with_its_line_and_what_to_do() -> None:
    text = (DATA / "ten_mistakes.yaml").read_text()
    with pytest.raises(ConfigError) as caught:
        parse_deployment(text, "ten_mistakes.yaml", lock_of(yaml.safe_load(text)))
    reported = "\n".join(caught.value.problems)
    for expected in (
        'ten_mistakes.yaml:2 default_model: no model has this key, got "nobody". Use chat/fast and coder.',
        'ten_mistakes.yaml:4 gateway.listen[0]: not of the expected form, got "everywhere". Give addresses such as',
        'ten_mistakes.yaml:6 models.chat/fast: not a usable name, got "chat/fast". Use up to 31 of a-z, 0-9, _ and -',
        'ten_mistakes.yaml:10 models.chat/fast.cores: not a whole number, got "two". Give how many cores',
        'ten_mistakes.yaml:14 models.chat/fast.engine.quantization: not axion_w4, got "q4_0". Give axion_w4 to make',
        "ten_mistakes.yaml:15 models.chat/fast.engine.swap_space: unknown key, got 4. Gone from vLLM: preempted "
        "sequences are recomputed.",
        'ten_mistakes.yaml:18 models.coder.aliases[0]: already names chat/fast, got "fast". Give it to one model only.',
        "ten_mistakes.yaml:20 models.coder.coers: unknown key, got 1. Write cores, if that is meant.",
        "ten_mistakes.yaml:22 models.coder.engine.max_model_len: longer than the checkpoint's context of 2048 tokens, "
        "got 4096. Give at most 2048.",
        'ten_mistakes.yaml:23 models.coder.engine.kv_cache_memory_bytes: not a size, got "plenty". Give a size with',
    ):
        assert expected in reported
    # The eleventh line is the consequence of the misspelt key: the one that it should have been is missing.
    assert len(caught.value.problems) == 11
    assert "models.coder.cores: missing. Give how many cores its engine computes on." in reported


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("use_v2_block_manager", "the V1 engine has one block manager"),
        ("swap_space", "preempted sequences are recomputed"),
        ("gpu_memory_utilization", "Set kv_cache_memory_bytes"),
        ("num_scheduler_steps", "Gone from vLLM with the V0 engine"),
        ("device", "the platform decides"),
        ("enable_chunked_prefill", "Always on"),
        ("kv_cache_dtype", "does not exist on Arm"),
        ("port", "Set gateway.listen"),
    ],
)
def test_an_obsolete_engine_key_is_refused_with_what_replaced_it(key: str, advice: str) -> None:
    problem = only_problem(document({"alpha": model(engine={key: 1})}))
    assert problem.split(": ")[0].endswith(f"models.alpha.engine.{key}")
    assert "unknown key, got 1." in problem
    assert advice in problem


def bent(changes: dict[str, Any]) -> dict[str, Any]:
    return document({"alpha": model(**changes)})


@pytest.mark.parametrize("text", ["שלום \u200fSmolLM\u200e", "two\nlines\twith a tab", "one\u2028two", "👩‍🔬", "é"])
def test_a_description_may_be_in_any_script(text: str) -> None:
    data = bent({"description": text})
    served = parse_deployment(yaml.safe_dump(data, sort_keys=False), "models.yaml", lock_of(data))
    assert served.models["alpha"].description == text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (bent({"weights": {"hub": "a/b"}}), "weights.revision: missing. Give the 40 hex digits"),
        (bent({"weights": {"hub": "a/b", "revision": "main"}}), 'not of the expected form, got "main"'),
        (bent({"weights": {"path": "x", "hub": "a/b"}}), "one source is needed, got both."),
        (bent({"weights": {"path": None}}), "one source is needed, got neither."),
        (bent({"engine": {"quantization": "awq"}}), 'quantization: not axion_w4, got "awq". Give axion_w4 to make'),
        (bent({"weights": {"path": "x", "group_size": 32}}), "weights.group_size: unknown key, got 32. The checkpoint"),
        (
            bent({"architecture": {"name": "X"}}),
            'models.alpha.architecture: unknown key, got {"name": "X"}. Its checkpoint says it. Delete the key; '
            "`fab models-update NAME` reads it.",
        ),
        (bent({"engine": {"dtype": "float16"}}), 'not one of bfloat16 or float32, got "float16".'),
        (bent({"engine": {"max_num_batched_tokens": 4}}), "less than max_num_seqs 8, got 4."),
        (
            bent({"engine": {"max_model_len": 512, "long_prefill_token_threshold": 513}}),
            "more than max_model_len 512, got 513. vLLM refuses that: lower it, or delete it.",
        ),
        (
            bent({"engine": {"limit_mm_per_prompt": {"image": 1}}}),
            'engine.limit_mm_per_prompt: Qwen2ForCausalLM takes no pictures, got {"image": 1}. Delete it.',
        ),
        (bent({"engine": {"max_model_len": 0}}), "engine.max_model_len: too small, got 0."),
        (bent({"engine": {"max_model_len": "1024"}}), 'max_model_len: not a whole number, got "1024".'),
        (bent({"engine": {"enforce_eager": "yes"}}), 'enforce_eager: not true or false, got "yes".'),
        (bent({"engine": {"kv_cache_memory_bytes": "-1GiB"}}), "kv_cache_memory_bytes: not a size"),
        (bent({"engine": {"kv_cache_memory_bytes": 1.5}}), "kv_cache_memory_bytes: not a size, got 1.5."),
        (bent({"engine": {"kv_cache_memory_bytes": "100KiB"}}), "one sequence of max_model_len 1024 needs 288.0 KiB"),
        (bent({"aliases": ["auto"]}), 'reserved, it means the default model, got "auto". Delete it.'),
        (bent({"aliases": ["with space"]}), 'not a usable alias, got "with space".'),
        (bent({"aliases": ["alpha"]}), 'already names alpha, got "alpha".'),
        (bent({"description": ""}), 'description: empty, got "".'),
        (bent({"cores": True}), "cores: not a whole number, got true."),
        (bent({"priority": 3}), "priority: unknown key, got 3. Engines have their own cores and memory."),
        (document(experts=[]), "experts: unknown key, got []. List models under models"),
        (document({"auto": model()}), 'models.auto: reserved, it means the default model, got "auto".'),
        (document({"gateway": model()}), "models.gateway: reserved, it is the gateway's process and log, got"),
        (document(gateway={"listen": ["1.2.3.4:99999"]}), 'gateway.listen[0]: not an address, got "1.2.3.4:99999".'),
        (document(gateway={"listen": ["127.0.0.1:0"]}), 'gateway.listen[0]: not an address, got "127.0.0.1:0".'),
        (document(gateway={"listen": ["300.0.0.1:80"]}), 'gateway.listen[0]: not an address, got "300.0.0.1:80".'),
        (document(gateway={"listen": ["127.0.0.1:80"] * 2}), "gateway.listen: the same address twice, got"),
        (document(default_model=3), "default_model: not text, got 3."),
        (document(host={"core_policy": "all"}), 'core_policy: not one of disjoint, elastic or shared, got "all".'),
        ("models: [", "models.yaml:1: not YAML:"),
        ("? [a]\n: b\n", "models.yaml:1: not YAML: found unhashable key. Correct the line."),
        ("a: !!timestamp x", "models.yaml: not YAML: a value that its tag cannot have. Leave the tag out."),
        ("a: !!float ''", "models.yaml: not YAML: a value that its tag cannot have. Leave the tag out."),
        ("a: \x1b", 'models.yaml: not YAML: unacceptable character #x001b: special characters are not allowed in "'),
        ('a: {b: "x\\0y"}', 'models.yaml:1 a.b: with a character that cannot be printed, got "\\u0000". Take it out.'),
        ('"a\\eb": 1', 'models.yaml:1 a\\u001bb: with a character that cannot be printed, got "\\u001b". Take it out.'),
        ('"a\\nb": 1', 'models.yaml:1 a\\nb: with a character that cannot be printed, got "\\n". Take it out.'),
        ("just text", 'models.yaml: not a mapping, got "just text".'),
        ("", "models.yaml: not a mapping, got null."),
    ],
)
def test_one_mistake_gives_one_sentence(data: Any, expected: str) -> None:
    assert expected in only_problem(data)


@pytest.mark.parametrize(
    ("engine", "facts", "expected"),
    [
        ({"dtype": "bfloat16"}, {"torch_dtype": "float32"}, 'the checkpoint is float32, got "bfloat16". Set float32'),
        ({"dtype": "float32", "quantization": "axion_w4"}, {}, 'quantized layers compute in bfloat16, got "float32".'),
        ({"max_model_len": 2049}, {}, "longer than the checkpoint's context of 2048 tokens, got 2049."),
        ({"kv_cache_memory_bytes": "1MiB"}, {"num_key_value_heads": 2, "num_hidden_layers": 32}, "needs 9.0 MiB"),
    ],
)
def test_the_engine_is_held_against_its_checkpoint(
    engine: dict[str, Any], facts: dict[str, Any], expected: str
) -> None:
    assert expected in only_problem(bent({"engine": engine}), {"alpha": checkpoint(**facts)})


def test_a_checkpoint_that_is_quantized_is_not_quantized_again() -> None:
    facts = checkpoint(CONFIGS["qwen_coder"])
    problem = only_problem(bent({"engine": {"quantization": "axion_w4"}}), {"alpha": facts})
    assert "the checkpoint is quantized already, with awq, got" in problem


def test_a_kernel_that_the_checkpoint_needs_cannot_be_off() -> None:
    problem = only_problem(bent({"kernels": {"linear_w4": False}}), {"alpha": checkpoint(CONFIGS["qwen_coder"])})
    assert "kernels.linear_w4: awq cannot be served on Arm without it, got false. Delete it." in problem


def test_tools_cannot_be_asked_for_where_vllm_has_no_parser() -> None:
    facts = checkpoint(architectures=["LlamaForCausalLM"])
    problem = only_problem(bent({"engine": {"enable_auto_tool_choice": True}}), {"alpha": facts})
    assert "enable_auto_tool_choice: vLLM has no tool parser for LlamaForCausalLM by itself, got true. Give" in problem


def test_a_model_whose_facts_nobody_has_read_is_told_how() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_deployment(yaml.safe_dump(bent({}), sort_keys=False), "models.yaml", ModelLock())
    assert caught.value.problems == (
        "models.yaml:3 models.alpha: not in the lock file. Run `fab models-update alpha`.",
    )


def test_facts_of_another_revision_are_not_taken() -> None:
    at = {"hub": "a/b", "revision": "1" * 40}
    lock = lock_of(bent({"weights": at}))
    with pytest.raises(ConfigError) as caught:
        parse_deployment(yaml.safe_dump(bent({"weights": {**at, "revision": "2" * 40}})), "models.yaml", lock)
    (problem,) = caught.value.problems
    assert problem.endswith(
        "models.alpha.weights: the lock file holds the facts of a/b at 111111111111, got a/b at 222222222222. "
        "Run `fab models-update alpha`."
    )


def test_a_key_written_twice_is_refused_where_it_stands_the_second_time() -> None:
    text = yaml.safe_dump(document(), sort_keys=False) + "default_model: beta\n"
    problem = problems_of(text)[0]
    assert problem.startswith(f"models.yaml:{len(text.splitlines())} default_model: written twice")


def test_a_missing_file_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"nowhere.yaml: not found. Name a models file"):
        load_deployment(Path("nowhere.yaml"))


def test_what_is_not_there_was_not_given() -> None:
    assert problems_of("host: {}")[:2] == [
        "models.yaml:1 models: missing. Give a mapping from model name to model.",
        "models.yaml:1 default_model: missing. Give the key of one of the models.",
    ]


def test_deep_nesting_is_a_sentence() -> None:
    assert "models.yaml: nested deeper than 50 levels." in only_problem("[" * 5000)
    assert "models.yaml: nested deeper than 50 levels." in only_problem("a: " + "[" * 60 + "]" * 60)
    assert "models.yaml: nested deeper than 50 levels." in only_problem("a: &a [*a]")


def test_values_cannot_be_changed_after_loading() -> None:
    deployment = load_deployment(REPOSITORY / "models.yaml")
    with pytest.raises(ValueError, match="frozen"):
        deployment.models["phi4_fast"].cores = 9  # type: ignore[misc] # that it is an error is the point
