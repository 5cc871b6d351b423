"""Every rendered engine file, read by the argument parser of the very vLLM that will start from it."""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from deployment.models.spec import Deployment
from deployment.problems import ENGINE_KEYS
from deployment.quantities import GIB, MIB
from deployment.render.files import Place
from tests.support.deployments import deployment, model
from tests.support.hollow import checkpoint
from tests.unit.deployment.render.test_files import LAPTOP, demonstration, production, rendered

pytestmark = pytest.mark.engine

EVERYTHING: dict[str, Any] = {
    "dtype": "bfloat16",
    "quantization": "axion_w4",
    "max_model_len": 1536,
    "max_num_seqs": 3,
    "max_num_batched_tokens": 640,
    "kv_cache_memory_bytes": "96MiB",
    "long_prefill_token_threshold": 256,
    "enable_prefix_caching": False,
    "enforce_eager": True,
    "generation_config": "vllm",
    "limit_mm_per_prompt": {"image": 2, "audio": 0},
    "max_num_queued_reqs": 17,
    "shutdown_timeout": 45,
    "trust_remote_code": True,
    "speculative_config": {
        "method": "ngram",
        "num_speculative_tokens": 4,
        "prompt_lookup_max": 5,
        "prompt_lookup_min": 2,
    },
    "enable_auto_tool_choice": True,
    "tool_call_parser": "pythonic",
    "reasoning_parser": "deepseek_r1",
    "chat_template": "own.jinja",
    "max_lora_rank": 32,
    "max_loras": 3,
    "extra_args": {
        "seed": 11,
        "hf-overrides": {"rope_theta": 5.0},
        "cudagraph_capture_sizes": [1, 2],
        "max_logprobs": 7,
    },
}
UNSAID = ("chat_template", "extra_args")
"""vLLM's own name for what these become is another."""
PLAIN = {"dtype": "float32", "max_model_len": 512, "kv_cache_memory_bytes": "64MiB"}
GONE = sorted(key for key, advice in ENGINE_KEYS.items() if advice.startswith("Gone from vLLM"))
STILL_KNOWN = {
    "block_size": 16, "cpu_offload_gb": 1, "enable_chunked_prefill": True, "enable_sleep_mode": True,
    "gpu_memory_utilization": 0.5, "host": "127.0.0.1", "kv_cache_dtype": "fp8", "port": 8000, "revision": "main",
    "disable_log_stats": True, "tensor_parallel_size": 2, "served_model_name": "x", "model": "x",
}  # fmt: skip
Parsed = Mapping[str, dict[str, Any] | str]


def bent() -> Deployment:
    pictured = checkpoint(architectures=["Gemma3ForConditionalGeneration"])
    every = model(
        engine=EVERYTHING, weights={"path": "x"}, aliases=["first"], lora={"sql": {"path": "adapters/it's sql"}}
    )
    served = deployment({"every-thing_1": every, "plain": model(engine=PLAIN)}, {"every-thing_1": pictured})
    own = served.models["every-thing_1"].model_copy(update={"template": "{{ text }}"})
    return served.model_copy(update={"models": {**served.models, "every-thing_1": own}})


def ask_parser(engine_python: str, paths: list[str]) -> dict[str, Any]:
    """Run vLLM's parser on files; under "names" is what it knows besides."""
    script = Path(__file__).parents[2] / "support" / "fakes" / "argument_parser.py"
    done = subprocess.run(
        [engine_python, "-I", str(script)],
        input=json.dumps(paths),
        env={**os.environ, "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@pytest.fixture(scope="module")
def parsed(engine_python: str, tmp_path_factory: pytest.TempPathFactory) -> Parsed:
    """All files at once: importing vLLM takes seconds."""
    directory = tmp_path_factory.mktemp("engines")
    root = directory / "a b"  # vLLM looks whether a chat template is there
    sets = {
        "vm": production(),
        "local": demonstration(),
        "bent": rendered(bent(), LAPTOP, Place(root=str(root), runner="supervisor")),
    }
    texts = {
        f"{name}/{path}": text for name, files in sets.items() for path, text in files.items() if path.endswith(".yaml")
    }
    base = 'model: "/m"\n'
    texts |= {f"key/{key}.yaml": f"{base}{key.replace('_', '-')}: 1\n" for key in GONE}
    for key, value in STILL_KNOWN.items():
        start = "" if key == "model" else base
        texts[f"key/{key}.yaml"] = f"{start}{key.replace('_', '-')}: {json.dumps(value)}\n"
    for path, text in texts.items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(text)
    (root / "current" / "engines").mkdir(parents=True)
    (root / "current" / "engines" / "every-thing_1.jinja").write_text(sets["bent"]["engines/every-thing_1.jinja"])
    answer = ask_parser(engine_python, [str(directory / path) for path in texts])
    return {"root": str(root), **{path: answer[str(directory / path)] for path in texts}}


def understood(got: dict[str, Any] | str) -> dict[str, Any]:
    assert not isinstance(got, str), got
    return got


def differences(parsed: dict[str, Any] | str, expected: dict[str, Any]) -> dict[str, Any]:
    """What vLLM understood otherwise than it was meant."""
    got = understood(parsed)
    return {key: got[key] for key, value in expected.items() if got[key] != value}


PRODUCTION = {
    "gemma3_multimodal": (None, 24576, 4, 12 * GIB, {"image": 2}),
    "mistral_balanced": (None, 8192, 8, 6 * GIB, {}),
    "qwen_coder": (None, 8192, 8, 5 * GIB, {}),
    "phi4_fast": ("axion_w4", 4096, 8, 3 * GIB, {}),
}


@pytest.mark.parametrize("name", PRODUCTION)
def test_production_engines_start_with_what_models_yaml_says(parsed: Parsed, name: str) -> None:
    quantization, context, sequences, cache, images = PRODUCTION[name]
    expected = {
        "model": f"/opt/axion/models/{name}",
        "served_model_name": [name],
        "uds": f"/opt/axion/run/{name}.sock",
        "dtype": "bfloat16",
        "quantization": quantization,
        "max_model_len": context,
        "max_num_seqs": sequences,
        "max_num_batched_tokens": 512 if name == "gemma3_multimodal" else 128,
        "kv_cache_memory_bytes": cache,
        "enforce_eager": False,
        "generation_config": "auto",
        "limit_mm_per_prompt": images,
        "shutdown_timeout": 30,
        "trust_remote_code": False,
        "disable_uvicorn_access_log": True,
        "enable_request_id_headers": True,
    }
    got = understood(parsed[f"vm/engines/{name}.yaml"])
    assert differences(got, expected) == {}
    assert got["enable_prefix_caching"] is not False


@pytest.mark.parametrize("name", ["smollm2", "tiny_qwen2", "tiny_phi3", "tiny_gemma3"])
def test_demonstration_engines_start_with_what_their_file_says(parsed: Parsed, name: str) -> None:
    expected = {
        "model": f"/srv/axion/models/{name}",
        "served_model_name": [name],
        "uds": f"/srv/axion/run/{name}.sock",
        "max_model_len": 1024,
        "kv_cache_memory_bytes": (128 if name == "smollm2" else 64) * MIB,
        "enforce_eager": True,
        "shutdown_timeout": 5,
    }
    assert differences(parsed[f"local/engines/{name}.yaml"], expected) == {}


def test_every_field_reaches_vllm_with_its_value(parsed: Parsed) -> None:
    expected = {
        **{key: value for key, value in EVERYTHING.items() if key not in UNSAID},
        "chat_template": f"{parsed['root']}/current/engines/every-thing_1.jinja",
        "enable_lora": True,
        "lora_modules": [["sql", f"{parsed['root']}/models/every-thing_1/sql"]],
        "seed": 11,
        "hf_overrides": {"rope_theta": 5.0},
        "cudagraph_capture_sizes": [1, 2],
        "max_logprobs": 7,
        "kv_cache_memory_bytes": 100_663_296,
        "model": f"{parsed['root']}/models/every-thing_1",
        "uds": f"{parsed['root']}/run/every-thing_1.sock",
        "served_model_name": ["every-thing_1"],
    }
    assert differences(parsed["bent/engines/every-thing_1.yaml"], expected) == {}
    assert isinstance(understood(parsed["bent/engines/every-thing_1.yaml"])["kv_cache_memory_bytes"], int)


def test_fields_left_out_are_vllms_own_defaults(parsed: Parsed) -> None:
    expected: dict[str, Any] = {
        "dtype": "float32",
        "quantization": None,
        "max_model_len": 512,
        "long_prefill_token_threshold": 0,
        "enforce_eager": False,
        "limit_mm_per_prompt": {},
        "max_num_queued_reqs": None,
        "trust_remote_code": False,
        "speculative_config": None,
        "enable_auto_tool_choice": True,
        "tool_call_parser": "hermes",
        "reasoning_parser": "",
        "chat_template": None,
        "enable_lora": None,
        "lora_modules": None,
        "max_lora_rank": 16,
    }
    assert differences(parsed["bent/engines/plain.yaml"], expected) == {}


def test_every_field_of_the_specification_is_set_here() -> None:
    """A field added to the specification has to be shown to vLLM's parser."""
    assert set(EVERYTHING) == set(bent().models["plain"].engine.model_dump())


@pytest.mark.parametrize("key", GONE)
def test_what_we_call_gone_from_vllm_is_refused_by_it(parsed: Parsed, key: str) -> None:
    """`device` also begins two longer arguments, which is another way of not being known."""
    flag, said = f"--{key.replace('_', '-')}", str(parsed[f"key/{key}.yaml"])
    assert f"unrecognized arguments: {flag}" in said or f"ambiguous option: {flag} could match" in said


@pytest.mark.parametrize("key", STILL_KNOWN)
def test_what_we_refuse_although_vllm_knows_it_is_known_to_it(parsed: Parsed, key: str) -> None:
    """Or the advice should say that it is gone."""
    assert understood(parsed[f"key/{key}.yaml"])


def test_no_obsolete_key_is_left_untried() -> None:
    assert {*GONE, *STILL_KNOWN} == set(ENGINE_KEYS)
