"""What models.yaml may say: frozen, typed, and closed to unknown keys."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, TypeAdapter

from deployment.checkpoint.facts import Checkpoint
from deployment.frozen import Count, Frozen, ModelName, Switch
from deployment.models.engine_options import (
    Adapter,
    ExtraArgument,
    Kernels,
    ReasoningParser,
    Speculation,
    ToolCallParser,
)


def _whole_bytes(value: Any) -> Any:
    """Refuse what ByteSize would round or read as decimal bytes by accident: `1.5`, `true`."""
    if isinstance(value, bool | float):
        raise ValueError("not a size")
    return value


def _positive(value: ByteSize) -> ByteSize:
    if value <= 0:
        raise ValueError("not a size")
    return value


def _address(value: str) -> str:
    """Refuse what has the form of an address and is none: no socket could be bound to it."""
    host, _, port = value.rpartition(":")
    if not 0 < int(port) < 2**16 or (host != "localhost" and any(int(part) > 255 for part in host.split("."))):
        raise ValueError("not an address")
    return value


def _distinct(value: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(value)) < len(value):
        raise ValueError("the same address twice")
    return value


SIZE = "a size with its unit, such as 512MiB or 12GiB"
Size = Annotated[ByteSize, BeforeValidator(_whole_bytes), AfterValidator(_positive)]
SIZE_ADAPTER: TypeAdapter[ByteSize] = TypeAdapter(Size)
NAME_ADAPTER: TypeAdapter[str] = TypeAdapter(ModelName)
# What a client may send as "model" besides the canonical name: hub ids and Ollama tags hold / : and dots.
Alias = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,95}$")]

Address = Annotated[str, Field(pattern=r"^(\d{1,3}(\.\d{1,3}){3}|localhost):\d{1,5}$"), AfterValidator(_address)]

# The longest a stop may take: process runners are told once, for every engine, to wait a little longer.
MAX_DRAIN_S = 600
MAX_WAIT_S = 24 * 3600
Wait = Annotated[float, Field(ge=0, le=MAX_DRAIN_S, strict=True)]
Seconds = Annotated[float, Field(gt=0, le=MAX_WAIT_S, strict=True)]


class Weights(Frozen):
    """Where a checkpoint comes from. What it is, models.lock.json says."""

    hub: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$", description="a hub repository such as Qwen/Qwen2.5-7B")
    revision: str | None = Field(
        None, pattern=r"^[0-9a-f]{40}$", description="the 40 hex digits of a commit; a branch would be a silent deploy"
    )
    path: str | None = Field(None, description="a directory on the host, relative to the models file")

    def __str__(self) -> str:
        return self.path or f"{self.hub} at {str(self.revision)[:12]}"


class Engine(Frozen):
    """Arguments of `vllm serve` at the pinned version, under vLLM's own names."""

    dtype: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="bfloat16 or float32; float16 is unstable on CPUs and Gemma 3 refuses it"
    )
    quantization: Literal["axion_w4"] | None = Field(
        None,
        description="axion_w4 to make bfloat16 weights int4 while they load; leave it out to serve a checkpoint as it "
        "is: AWQ, GPTQ and compressed-tensors are recognised",
    )
    max_model_len: Count = Field(description="the context length in tokens")
    max_num_seqs: Count = Field(8, description="how many sequences one step may batch")
    max_num_batched_tokens: Count = Field(
        2048, description="tokens in one step; on a CPU a step of 16k blocks every decode for seconds"
    )
    kv_cache_memory_bytes: Size = Field(description=SIZE)
    long_prefill_token_threshold: Count | None = Field(None, description="prompts longer than this are cut into pieces")
    enable_prefix_caching: Switch = Field(True, description="true or false")
    enforce_eager: Switch = Field(False, description="true or false")
    generation_config: Literal["auto", "vllm"] = Field("auto", description="auto (the checkpoint's own) or vllm")
    limit_mm_per_prompt: dict[Literal["image", "audio", "video"], Annotated[int, Field(ge=0)]] | None = Field(
        None, description="a mapping such as {image: 2}"
    )
    max_num_queued_reqs: Count | None = Field(None, description="requests beyond this are refused with 503")
    shutdown_timeout: Annotated[int, Field(gt=0, le=MAX_DRAIN_S, strict=True)] = Field(
        30, description="seconds, up to 600, that requests in flight get to finish"
    )
    trust_remote_code: Switch = Field(False, description="true or false")
    speculative_config: Speculation | None = Field(
        None, description="a mapping such as {method: ngram, num_speculative_tokens: 4, prompt_lookup_max: 4}"
    )
    enable_auto_tool_choice: Switch | None = Field(
        None, description="true or false; left out, tools work where vLLM has a parser for the model's family"
    )
    tool_call_parser: ToolCallParser | None = Field(
        None, description="one of vLLM's tool parsers, such as hermes, mistral or llama3_json"
    )
    reasoning_parser: ReasoningParser | None = Field(
        None, description="one of vLLM's reasoning parsers, such as qwen3 or deepseek_r1"
    )
    chat_template: str | None = Field(
        None, min_length=1, description="a Jinja file, relative to the models file; it travels with the release"
    )
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] | None = Field(
        None, description="the largest rank among the adapters, rounded up to one that vLLM knows (default: 16)"
    )
    max_loras: Count | None = Field(None, description="how many adapters one step may mix (default: all of them)")
    extra_args: dict[str, ExtraArgument] = Field(
        {}, description="a mapping of further arguments of vllm serve, passed on as they are and checked by nobody"
    )


class Model(Frozen):
    """One served model. Its key in models.yaml is its id everywhere."""

    description: str = Field(min_length=1, description="one sentence for people who choose a model")
    domain: str = Field("general", pattern=r"^[a-z][a-z_]*$", description="one word such as general or coding")
    aliases: tuple[Alias, ...] = Field((), description="other names that clients may use")
    weights: Weights = Field(description="hub and revision, or path")
    cores: Count = Field(description="how many cores its engine computes on")
    watchdog_s: Annotated[int, Field(ge=10, le=3600, strict=True)] = Field(
        180, description="seconds, 10 to 3600, without a finished step after which a busy engine is restarted (systemd)"
    )
    engine: Engine = Field(description="arguments of vllm serve")
    kernels: Kernels = Field(Kernels(), description="a mapping from kernel to true or false, such as {lm_head: true}")
    lora: dict[ModelName, Adapter] = Field(
        {}, description="a mapping from the name that clients use to where the adapter lies"
    )


def adapter_key(model: str, adapter: str) -> str:
    """Call an adapter among the checkpoints of a deployment; no model's name holds a slash."""
    return f"{model}/{adapter}"


class Host(Frozen):
    """What of a host the engines must leave alone, how they share the rest, and where they come from."""

    engine: Literal["compiled", "wheel"] | None = Field(
        None, description="compiled (on the host, the default on Arm) or wheel (others have compiled it)"
    )
    reserved_cores: Annotated[int, Field(ge=0, strict=True)] = Field(
        4, description="cores kept for the system and the gateway"
    )
    reserved_memory: Size = Field(ByteSize(6 * 2**30), description=SIZE)
    core_policy: Literal["disjoint", "shared"] = Field(
        "disjoint", description="disjoint (own cores each) or shared (all engines on all cores, for small machines)"
    )


class Gateway(Frozen):
    """Where clients connect, and how long the gateway waits for what."""

    listen: Annotated[tuple[Address, ...], AfterValidator(_distinct)] = Field(
        ("127.0.0.1:8080",), min_length=1, description="addresses such as 127.0.0.1:8080"
    )
    max_body: Size = Field(ByteSize(32 * 2**20), description=SIZE)
    max_held: Annotated[int, Field(ge=0, strict=True)] = Field(
        256, description="how many requests may wait for one model that is being restarted; their bodies are in memory"
    )
    connect_s: Seconds = Field(5.0, description="seconds to connect to an engine on its socket")
    response_s: Seconds = Field(
        600.0, description="seconds to the first byte of an answer; to its end, where it is not streamed"
    )
    stream_idle_s: Seconds = Field(300.0, description="seconds between two pieces of a stream")
    probe_s: Seconds = Field(10.0, description="seconds in which an engine must say that it is well")
    probe_interval_s: Seconds = Field(1.0, description="seconds between two such questions")
    drain_s: Wait = Field(30.0, description="seconds, up to 600, for requests in flight at a stop")
    hold_s: Wait = Field(
        30.0, description="seconds, up to 600, that a request waits for a model that is being restarted"
    )


class ModelsFile(Frozen):
    """Everything models.yaml may say."""

    default_model: str = Field(description="the key of the model that `default` and `auto` mean")
    models: dict[ModelName, Model] = Field(min_length=1, description="a mapping from model name to model")
    gateway: Gateway = Field(Gateway(), description="where clients connect")
    host: Host = Field(Host(), description="what engines leave alone")


class Deployment(ModelsFile):
    """What models.yaml says and what its checkpoints are, checked."""

    checkpoints: Mapping[str, Checkpoint]
    """The facts of every model, from models.lock.json."""
