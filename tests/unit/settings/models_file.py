"""models.yaml: what is written there, and where it arrives on a host."""

from pathlib import Path
from typing import Any

from build.remote.target import Target
from tests.support.deployments import model, write_models
from tests.unit.settings import release
from tests.unit.settings.table import Elsewhere, Said, Seen, Setting, made_of

BASE = {
    "default_model": "alpha",
    "host": {"reserved_cores": 1},
    "models": {"alpha": model(), "beta": model()},
}
TEMPLATE = "Say {{ messages }} once\n"
"""The text of own.jinja, which lies beside the models file."""

ARGUMENTS, VARIABLES, GATEWAY = "engines/alpha.yaml", "engines/alpha.env", "gateway.json"
DROP_IN = "systemd/vllm@alpha.service.d/50-resources.conf"
HUB = {"models.alpha.weights": {"hub": "org/tiny", "revision": "a" * 40}}
NGRAM = {"models.alpha.engine.speculative_config": {"method": "ngram", "num_speculative_tokens": 3}}
ON_DEMAND = {"models.alpha.on_demand": True}
ADAPTERS = {"models.alpha.lora": {"sql": {"path": "/srv/sql"}, "law": {"path": "/srv/law"}}}

RULE = {"routing": {"rules": {"code": {"model": "beta", "words": ["x"]}}}}
TOP = (
    Setting("routing.rules.code.model", "alpha", {f"{GATEWAY} routing.rules.0.model": "alpha"}, RULE),
    Setting("routing.rules.code.words", ["python", "función"],
            {f"{GATEWAY} routing.rules.0.words": ["python", "función"]}, RULE),
    Setting("routing.rules.code.has_images", False, {f"{GATEWAY} routing.rules.0.has_images": False}, RULE),
    Setting("routing.rules.code.tools", False, {f"{GATEWAY} routing.rules.0.tools": False}, RULE),
    Setting("routing.rules.code.min_prompt_chars", 99, {f"{GATEWAY} routing.rules.0.min_prompt_chars": 99}, RULE),
    Setting("routing.fallback", "beta", {f"{GATEWAY} routing.fallback": "beta"}, RULE),
    Setting("default_model", "beta", {f"{GATEWAY} default_model": "beta"}),
)  # fmt: skip

HOST = (
    Setting("host.engine", "wheel", {"engine environment origin": "wheel"}),
    Setting(
        "host.reserved_cores", 5,
        {f"{VARIABLES} VLLM_CPU_OMP_THREADS_BIND": "5", f"{DROP_IN} AllowedCPUs": "5",
         "systemd/gateway.service AllowedCPUs": "0,1,2,3,4"},
    ),
    Setting("host.reserved_memory", "9GiB", {"systemd/axion.slice MemoryMax": "127775277056"}),  # 128 - 9 GiB
    Setting(
        "host.core_policy", "shared",
        {f"{VARIABLES} OMP_WAIT_POLICY": "PASSIVE", f"{VARIABLES} VLLM_CPU_OMP_THREADS_BIND": "nobind",
         f"{DROP_IN} AllowedCPUs": "1-31"},
    ),
    Setting(
        "host.core_policy", "elastic",
        {f"{VARIABLES} AXION_CORES": '{"table": "/dev/shm/axion-cores-opt-axion", "name": "alpha", "home": "1", '
                                     '"compute": "1", "all": "1-31"}',
         f"{VARIABLES} VLLM_CPU_OMP_THREADS_BIND": "nobind", f"{DROP_IN} AllowedCPUs": "1-31"},
    ),
)  # fmt: skip

TLS = {
    "gateway.listen": ["127.0.0.1:8080", "0.0.0.0:8443"],
    "gateway.tls": {"certificate": "/etc/tls/a.pem", "key": "/etc/tls/a.key"},
}


def told_of(certificate: str, key: str) -> dict[str, str]:
    """What fetches both for the gateway of a host."""
    words = f"-m agent.certificate {certificate} {key} /run/axion/gateway-tls.pem axion"
    return {"systemd/gateway.service ExecStartPre": f"-+/usr/bin/python3 -s -P -B {words}"}


GATEWAY_SETTINGS = (
    Setting(
        "gateway.listen", ["127.0.0.1:8097"],
        {f"{GATEWAY} listen.0.port": 8097, "systemd/gateway.socket ListenStream": "127.0.0.1:8097"},
    ),
    Setting("gateway.tls.certificate", "/etc/tls/b.pem", told_of("/etc/tls/b.pem", "/etc/tls/a.key"), TLS),
    Setting("gateway.tls.key", "/etc/tls/100%.key", told_of("/etc/tls/a.pem", "/etc/tls/100%%.key"), TLS),
    Setting("gateway.open", True, {f"{GATEWAY} open": True}),
    Setting("gateway.hosts", ["ai.example.com"], {f"{GATEWAY} hosts": ["ai.example.com"]}),
    Setting("gateway.cors_origins", ["https://a.example"], {f"{GATEWAY} cors_origins": ["https://a.example"]}),
    Setting("gateway.max_body", "7MiB", {f"{GATEWAY} max_body_bytes": 7340032}),
    Setting("gateway.max_held", 33, {f"{GATEWAY} max_held": 33}),
    Setting("gateway.log_format", "json", {f"{GATEWAY} log_format": "json"}),
    Setting("gateway.otlp_socket", "/run/otel/a.sock", {f"{GATEWAY} otlp_socket": "/run/otel/a.sock"}),
    Setting("gateway.body_s", 1.75, {f"{GATEWAY} timeouts.body_s": 1.75}),
    Setting("gateway.connect_s", 1.25, {f"{GATEWAY} timeouts.connect_s": 1.25}),
    Setting(
        "gateway.response_s", 611.0,
        {f"{GATEWAY} timeouts.response_s": 611.0, f"{GATEWAY} models.0.response_s": 611.0,
         f"{GATEWAY} models.1.response_s": 611.0},
    ),
    Setting("gateway.stream_idle_s", 311.0, {f"{GATEWAY} timeouts.stream_idle_s": 311.0}),
    Setting("gateway.ping_s", 11.5, {f"{GATEWAY} timeouts.ping_s": 11.5}),
    Setting("gateway.probe_s", 2.5, {f"{GATEWAY} timeouts.probe_s": 2.5}),
    Setting("gateway.probe_interval_s", 3.5, {f"{GATEWAY} timeouts.probe_interval_s": 3.5}),
    Setting("gateway.drain_s", 41.0, {f"{GATEWAY} timeouts.drain_s": 41.0}),
    Setting("gateway.hold_s", 42.0, {f"{GATEWAY} timeouts.hold_s": 42.0}),
    Setting("gateway.queue_s", 43.0, {f"{GATEWAY} timeouts.queue_s": 43.0}),
    Setting("gateway.load_s", 44.5, {f"{GATEWAY} timeouts.load_s": 44.5}),
)  # fmt: skip

MODEL = (
    Setting("models.alpha.description", "Knows it all", {f"{GATEWAY} models.0.description": "Knows it all"}),
    Setting("models.alpha.domain", "law", {f"{GATEWAY} models.0.domain": "law"}),
    Setting("models.alpha.aliases", ["a/one", "a:two"], {f"{GATEWAY} models.0.aliases": ["a/one", "a:two"]}),
    Setting("models.alpha.weights.path", "/srv/other", {f"{ARGUMENTS} model": "/srv/other"}),
    Setting("models.alpha.weights.hub", "org/other", {"fab models-pull alpha.hub": "org/other"}, HUB),
    Setting(
        "models.alpha.weights.revision", "b" * 40,
        {"fab models-pull alpha.revision": "b" * 40, f"{ARGUMENTS} model": f"/opt/axion/models/alpha/{'b' * 40}"}, HUB,
    ),
    Setting(
        "models.alpha.cores", 3,
        {f"{VARIABLES} OMP_NUM_THREADS": "2", f"{VARIABLES} VLLM_CPU_OMP_THREADS_BIND": "2-3",
         f"{DROP_IN} AllowedCPUs": "1-3"},
    ),
    Setting("models.alpha.max_output_tokens", 777, {f"{GATEWAY} models.0.max_output_tokens": 777}),
    Setting("models.alpha.response_s", 333.5, {f"{GATEWAY} models.0.response_s": 333.5}),
    Setting(
        "models.alpha.on_demand", True,
        {f"{GATEWAY} models.0.on_demand.idle_stop_s": 900.0,
         f"{GATEWAY} models.0.on_demand.keep_warm": False,
         "systemd/axion.target Wants": ["vllm@beta.service", "gateway.socket gateway.service engine-starter.socket"],
         "systemd/engine-starter.socket ListenStream": "/run/axion/starter.sock"},
    ),
    Setting("models.alpha.keep_warm", True, {f"{GATEWAY} models.0.on_demand.keep_warm": True}, ON_DEMAND),
    Setting("models.alpha.idle_stop_s", 77.5, {f"{GATEWAY} models.0.on_demand.idle_stop_s": 77.5}, ON_DEMAND),
    Setting("models.alpha.concurrency", 6, {f"{GATEWAY} models.0.concurrency": 6}),
    Setting(
        "models.alpha.watchdog_s", 222,
        {f"{DROP_IN} WatchdogSec": "222", f"{GATEWAY} models.0.stall_s": 74.0},
    ),
    Setting(
        "models.alpha.lora.sql.path", "/srv/queries",
        {f"{ARGUMENTS} lora-modules": ['{"name": "sql", "path": "/srv/queries"}'],
         f"{GATEWAY} models.0.adapters": ["sql"]},
    ),
)  # fmt: skip


VARIANT = {"models.alpha.aliases": ["exact"]}
ROUTER = (
    Setting("models.alpha.router_settings.exact.set.temperature", 0,
            {f"{GATEWAY} models.0.router_settings.exact.set.temperature": 0}, VARIANT),
    Setting("models.alpha.router_settings.exact.strip", ["top_p"],
            {f"{GATEWAY} models.0.router_settings.exact.strip": ["top_p"]}, VARIANT),
)  # fmt: skip


def engine(key: str, value: Any, arrives: Any, beside: dict[str, Any] | None = None) -> Setting:
    """An argument of vLLM: alone under its own name, or several, or a file."""
    seen = arrives if isinstance(arrives, dict) else {f"{ARGUMENTS} {key.replace('_', '-')}": arrives}
    return Setting(f"models.alpha.engine.{key}", value, seen, beside or {})


ENGINE = (
    engine("dtype", "float32", "float32"),
    engine("quantization", "axion_w4", "axion_w4"),
    engine("max_model_len", 1536, 1536),
    engine("max_num_seqs", 5, {f"{ARGUMENTS} max-num-seqs": 5, f"{GATEWAY} models.0.concurrency": 5}),
    engine("max_num_batched_tokens", 777, 777),
    engine("kv_cache_memory_bytes", "65MiB", 68157440),
    engine("long_prefill_token_threshold", 333, 333),
    engine("enable_prefix_caching", False, {f"{ARGUMENTS} no-enable-prefix-caching": True}),
    engine("enforce_eager", True, {f"{ARGUMENTS} enforce-eager": True, f"{VARIABLES} TORCH_COMPILE_DISABLE": "1"}),
    engine("generation_config", "vllm", "vllm"),
    engine("limit_mm_per_prompt.image", 0, {f"{ARGUMENTS} limit-mm-per-prompt.image": 0}),
    engine("limit_mm_per_prompt.audio", 0, {f"{ARGUMENTS} limit-mm-per-prompt.audio": 0}),
    engine("limit_mm_per_prompt.video", 0, {f"{ARGUMENTS} limit-mm-per-prompt.video": 0}),
    engine("max_num_queued_reqs", 17, 17),
    engine("shutdown_timeout", 44, {f"{ARGUMENTS} shutdown-timeout": 44, f"{VARIABLES} AXION_STOP_TIMEOUT_S": "59"}),
    engine("trust_remote_code", True, True),
    Setting(
        "models.alpha.engine.speculative_config.method", "ngram",
        {f"{ARGUMENTS} speculative-config.method": "ngram"}, NGRAM, otherwise={},
    ),
    engine("speculative_config.num_speculative_tokens", 6,
           {f"{ARGUMENTS} speculative-config.num_speculative_tokens": 6}, NGRAM),
    engine("speculative_config.prompt_lookup_max", 9,
           {f"{ARGUMENTS} speculative-config.prompt_lookup_max": 9}, NGRAM),
    engine("speculative_config.prompt_lookup_min", 2,
           {f"{ARGUMENTS} speculative-config.prompt_lookup_min": 2}, NGRAM),
    engine("enable_auto_tool_choice", False,
           {f"{ARGUMENTS} enable-auto-tool-choice": None, f"{ARGUMENTS} tool-call-parser": None}),
    engine("tool_call_parser", "xlam", "xlam"),
    engine("reasoning_parser", "deepseek_r1", "deepseek_r1"),
    engine("chat_template", "own.jinja",
           {f"{ARGUMENTS} chat-template": "/opt/axion/current/engines/alpha.jinja", "engines/alpha.jinja": TEMPLATE}),
    engine("max_lora_rank", 32, 32, ADAPTERS),
    engine("max_loras", 7, 7, ADAPTERS),
    engine("extra_args.seed", 77, {f"{ARGUMENTS} seed": 77}),
)  # fmt: skip

KERNELS = tuple(
    Setting(f"models.alpha.kernels.{name}", is_on, {f"{VARIABLES} AXION_KERNELS": f"{'+' if is_on else '-'}{name}"})
    for name in (
        *("linear_w4", "axion_w4", "sampler", "penalties", "speculation", "lm_head", "rms_norm", "gemma_rms_norm"),
        *("rotary_embedding", "silu_and_mul", "gelu_and_mul"),
    )
    for is_on in (True, False)
)

SETTINGS = (*TOP, *HOST, *GATEWAY_SETTINGS, *MODEL, *ROUTER, *ENGINE, *KERNELS)

# Each of them is handed to somebody.
ELSEWHERE: dict[str, Elsewhere] = {}
READS_ITSELF = "here the gateway has all rights that there are"
# What only systemd does: on this computer, under supervisord, nobody reads it.
ONLY_SYSTEMD = {
    "host.reserved_memory": Elsewhere(
        "here it only decides whether the models fit",
        "test_too_little_memory_is_refused_with_every_term_of_every_engine",
    ),
    "gateway.tls.certificate": Elsewhere(READS_ITSELF, "test_here_the_gateway_reads_the_files_that_are_named"),
    "gateway.tls.key": Elsewhere(READS_ITSELF, "test_here_the_gateway_reads_the_files_that_are_named"),
}


def arrivals(said: Said, folder: Path, *targets: Target) -> list[Seen]:
    """What each target gets of a models file that says this."""
    write_models(folder / "models.yaml", made_of(BASE, said))
    return release.arrivals(folder / "models.yaml", *targets)
