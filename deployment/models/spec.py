"""What models.yaml may say: frozen, typed, and closed to unknown keys."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import ByteSize, Field

from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.families import Family, defaults_for
from deployment.frozen import Count, Frozen, ModelName, Switch
from deployment.models.engine_options import (
    Adapter,
    ExtraArgument,
    Kernels,
    ReasoningParser,
    Speculation,
    ToolCallParser,
)
from deployment.models.gateway_options import Gateway
from deployment.models.routing import RouterSettings, Routing
from deployment.models.step import step_tokens
from deployment.models.values import MAX_DRAIN_S, SIZE, Alias, Seconds, Size


class Weights(Frozen):
    """Where a checkpoint comes from. Its facts are in models.lock.json."""

    hub: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$", description="a hub repository such as Qwen/Qwen2.5-7B")
    """The repository that holds the model's files. `fab` downloads them to the host. Give either `hub` and `revision`,
    or `path`.
    """
    revision: str | None = Field(
        None, pattern=r"^[0-9a-f]{40}$", description="the 40 hex digits of a commit; a branch would be a silent deploy"
    )
    """Which version of the repository is served. It is needed with `hub`. A commit never changes, so every host gets
    the same files. `fab models-add` writes it.
    """
    path: str | None = Field(None, description="a directory on the host, absolute or relative")
    """An existing directory with the model's files: nothing is downloaded. On this computer a relative path starts at
    the models file, on other hosts at `<data_mount>/models`.
    """

    def __str__(self) -> str:
        return self.path or f"{self.hub} at {str(self.revision)[:12]}"


class Engine(Frozen):
    """Arguments of `vllm serve` at the pinned version, under vLLM's own names."""

    dtype: Literal["bfloat16", "float32"] = Field(
        "bfloat16", description="bfloat16 or float32; float16 is unstable on CPUs and Gemma 3 refuses it"
    )
    """The number format that the engine computes in. Quantized checkpoints need bfloat16. A checkpoint that is stored
    in float32 needs float32.
    """
    quantization: Literal["axion_w4"] | None = Field(
        None,
        description="axion_w4 to make bfloat16 weights int4 while they load; leave it out to serve a checkpoint as it "
        "is: AWQ, GPTQ and compressed-tensors are recognised",
    )
    """Whether to quantize the weights at load time. With `axion_w4` they need about a quarter of the memory, so each
    token reads less of it; answers change a little. Not for a checkpoint that is quantized already.
    """
    max_model_len: Count = Field(description="the context length in tokens")
    """The longest request, prompt and answer together. It may not be longer than the checkpoint's own context. The KV
    cache must have room for one request of this length.
    """
    max_num_seqs: Count = Field(8, description="how many sequences one step may batch")
    """How many requests the engine works on at the same time. Further ones wait in its queue. More give more tokens a
    second in total, and fewer to each request.
    """
    max_num_batched_tokens: Count | None = Field(
        None, description="tokens in one step (default: what the cores compute in about 250 ms)"
    )
    """How many tokens one step may process. Larger: long prompts are read a little faster (prefill). Smaller: running
    answers pause less while somebody's long prompt is read. At least `max_num_seqs`. Left out: as many as the model's
    cores compute in a quarter of a second, but no fewer than 128 (512 for a model that takes pictures) and no more than
    2048.
    """
    kv_cache_memory_bytes: Size = Field(description=SIZE)
    """Memory for the KV cache of running requests. It decides how many long requests fit at once; `fab plan` says how
    many. It counts against the memory of the host.
    """
    long_prefill_token_threshold: Count | None = Field(None, description="tokens; a longer prompt is read in pieces")
    """Long prompts are read in pieces, so that they do not hold up the others. At most `max_model_len`. Left out, vLLM
    decides.
    """
    enable_prefix_caching: Switch = Field(True, description="true or false")
    """Whether the engine keeps the KV cache of a prompt's beginning. Requests that begin with the same text then start
    faster.
    """
    enforce_eager: Switch = Field(False, description="true or false")
    """Whether to run without torch.compile. `true`: the engine starts sooner and needs no C++ compiler at its start,
    but answers more slowly.
    """
    generation_config: Literal["auto", "vllm"] = Field("auto", description="auto (the checkpoint's own) or vllm")
    """Where temperature, top_p and the like come from when a request does not give them: from the checkpoint, or from
    vLLM.
    """
    limit_mm_per_prompt: dict[Literal["image", "audio", "video"], Annotated[int, Field(ge=0)]] | None = Field(
        None, description="a mapping such as {image: 2}"
    )
    """How many images, sounds or videos one request may have. Only for models that take them."""
    max_num_queued_reqs: Count | None = Field(None, description="how many requests may wait; the next gets 503")
    """How many requests may wait in the engine. A short queue refuses early instead of letting clients wait long. Left
    out, the queue has no limit.
    """
    shutdown_timeout: Annotated[int, Field(gt=0, le=MAX_DRAIN_S, strict=True)] = Field(
        30, description="seconds, up to 600, that requests in flight get to finish"
    )
    """How long the engine waits for its requests when it is stopped or restarted. Afterwards they end with an error. It
    also decides how long systemd or supervisord waits before it kills the engine.
    """
    trust_remote_code: Switch = Field(False, description="true or false")
    """Whether to run Python code from the checkpoint. Set it only for a publisher that you trust: that code can do
    everything that the engine can.
    """
    speculative_config: Speculation | None = Field(
        None, description="a mapping such as {method: ngram, num_speculative_tokens: 4, prompt_lookup_max: 4}"
    )
    """Speculative decoding: several tokens in one step, by guessing. Left out, each step makes one token of a request.
    It helps where answers repeat the prompt, as in editing code.
    """
    enable_auto_tool_choice: Switch | None = Field(
        None, description="true or false; left out, tools work where vLLM has a parser for the model's family"
    )
    """Whether the model may decide by itself to call a tool. `false` turns it off. See [parsers by
    family](options.md#parsers-by-family).
    """
    tool_call_parser: ToolCallParser | None = Field(
        None, description="one of vLLM's tool parsers, such as hermes, mistral or llama3_json"
    )
    """How the engine finds tool calls in the model's answer. Left out, the family's parser is used."""
    reasoning_parser: ReasoningParser | None = Field(
        None, description="one of vLLM's reasoning parsers, such as qwen3 or deepseek_r1"
    )
    """How the engine separates what the model thinks from what it answers. Clients then get it as `reasoning`. Left
    out, only Qwen3 has one.
    """
    chat_template: str | None = Field(
        None, min_length=1, description="a Jinja file, relative to the models file; it travels with the release"
    )
    """Turns the messages of a request into one prompt. It replaces the checkpoint's own template. A change restarts
    this engine.
    """
    max_lora_rank: Literal[1, 8, 16, 32, 64, 128, 256, 320, 512] | None = Field(
        None, description="the largest rank among the adapters, rounded up to one that vLLM knows (default: 16)"
    )
    """The largest adapter rank that the engine accepts. An adapter with a larger rank ends the engine at its start.
    Only with `lora`.
    """
    max_loras: Count | None = Field(None, description="how many adapters one step may mix (default: all of them)")
    """How many different adapters one step may use. Requests for others wait. Only with `lora`."""
    extra_args: dict[str, ExtraArgument] = Field(
        {}, description="a mapping of further arguments of vllm serve, passed on as they are and checked by nobody"
    )
    """Arguments of `vllm serve` that have no key here. `fab plan` lists them. Those that have a key, and those that the
    toolkit sets, are refused.
    """


class Model(Frozen):
    """One served model. Its key in models.yaml is its id everywhere."""

    description: str = Field(min_length=1, description="one sentence for people who choose a model")
    """Shown to clients in `/v1/models`. It decides nothing."""
    domain: str = Field("general", pattern=r"^[a-z][a-z_]*$", description="one word such as general or coding")
    """What the model is good at, for clients that choose by it. Shown in `/v1/models`. It decides nothing."""
    aliases: tuple[Alias, ...] = Field((), description="other names that clients may use")
    """A request for one of these names goes to this model. No two models may have the same. A change reloads the
    gateway and restarts no engine.
    """
    weights: Weights = Field(description="hub and revision, or path")
    """The files of the model."""
    cores: Count = Field(description="how many cores its engine computes on")
    """The cores of this engine. With `host.core_policy: disjoint` no other engine uses them, and one of them schedules
    the others. More cores answer faster. All models and `host.reserved_cores` together must fit the host.
    """
    watchdog_s: Annotated[int, Field(ge=10, le=3600, strict=True)] = Field(
        180, description="seconds, 10 to 3600, without a finished step after which a busy engine is restarted (systemd)"
    )
    """When a hanging engine is killed and started again. After a third of that time the gateway sends it nothing new.
    Raise it for a model whose longest step takes longer.
    """
    concurrency: Count | None = Field(
        None, description="how many requests the engine gets at once (default: its max_num_seqs)"
    )
    """Further requests wait in the gateway, callers in turn, and see how long. Above `max_num_seqs` some wait in the
    engine instead, where nobody sees it. A change reloads the gateway and restarts no engine.
    """
    max_output_tokens: Count | None = Field(
        None, description="the most tokens of one answer (default: what the context has room for)"
    )
    """Requests that ask for more tokens, or do not say how many, get this many. A change reloads the gateway."""
    response_s: Seconds | None = Field(
        None, description="seconds for an answer of this model (default: computed from its size, cores and context)"
    )
    """This model's `gateway.response_s`. Left out, it is what its longest answer takes on a slow machine: at least
    `gateway.response_s`, otherwise at most two hours.
    """
    on_demand: Switch = Field(False, description="true to load the model when somebody asks for it")
    """Whether the model is loaded at its first request instead of by the deployment, and stopped when nobody uses it.
    Models on demand share the memory that the others leave: see [models on demand](operations.md#models-on-demand).
    """
    keep_warm: Switch = Field(False, description="true or false")
    """Whether the model is loaded whenever there is room, and stopped only when another one needs its memory. Only with
    `on_demand`.
    """
    idle_stop_s: Seconds | None = Field(
        None, description="seconds without a request after which the model is stopped (default: 900)"
    )
    """How long a model on demand stays loaded when nobody uses it. Only with `on_demand`, and not with `keep_warm`."""
    engine: Engine = Field(description="arguments of vllm serve")
    """How vLLM runs this model. A change restarts this engine, and no other."""
    router_settings: dict[Alias, RouterSettings] = Field(
        {}, description="a mapping from one of the model's names to set and strip"
    )
    """Changes requests for this model by the name that they ask for, so that one engine serves variants: an alias that
    always answers at temperature 0, say. The name is the model's own, or one of its aliases or adapters.
    """
    kernels: Kernels = Field(Kernels(), description="a mapping from kernel to true or false, such as {lm_head: true}")
    """Which of our kernels are used. Left out, each has its default."""
    lora: dict[ModelName, Adapter] = Field(
        {}, description="a mapping from the name that clients use to where the adapter lies"
    )
    """LoRA adapters of this model, each served under its own name. Clients send that name as `model`."""


def adapter_key(model: str, adapter: str) -> str:
    """Call an adapter among the checkpoints of a deployment; no model's name holds a slash."""
    return f"{model}/{adapter}"


CorePolicy = Literal["disjoint", "elastic", "shared"]


class Host(Frozen):
    """What engines leave free on a host, how they share the rest, and where vLLM comes from."""

    engine: Literal["compiled", "wheel"] | None = Field(
        None, description="compiled (on the host, the default on Arm) or wheel (others have compiled it)"
    )
    """Where vLLM comes from. `compiled` takes longer once, and is tuned for the processor. See [where the engine comes
    from](operations.md#where-the-engine-comes-from). Left out: compiled on Arm, wheel on x86-64.
    """
    reserved_cores: Annotated[int, Field(ge=0, strict=True)] = Field(
        4, description="cores kept for the system and the gateway"
    )
    """These cores run no engine. The engines share or divide the others."""
    reserved_memory: Size = Field(ByteSize(6 * 2**30), description=SIZE)
    """Memory that no engine gets. It is for the system, the gateway and file caches. `fab plan` refuses models that
    need more than the rest.
    """
    core_policy: CorePolicy = Field(
        "disjoint", description="disjoint (own cores each), elastic (own, lent while idle) or shared (one set for all)"
    )
    """How engines get their cores. `disjoint`: its own for each, so that none slows another. `elastic`: its own, and
    those of others while they rest ([decision 9](decisions/0009-cores-are-lent.md)). `shared`: for machines with fewer
    cores than all models ask for; engines that work at the same time slow each other."""


class ModelsFile(Frozen):
    """The keys of models.yaml."""

    default_model: str = Field(description="the key of the model that `default` and `auto` mean")
    """The model that answers when a request says `default` or `auto`, unless `routing` chooses another."""
    routing: Routing | None = Field(None, description="rules and fallback")
    """Chooses the model for requests that leave it to the gateway. Left out, the default model answers them."""
    models: dict[ModelName, Model] = Field(min_length=1, description="a mapping from model name to model")
    """The models that this deployment serves. The key is the model's name for clients, in `fab` and in logs."""
    gateway: Gateway = Field(Gateway(), description="where clients connect")
    """The address that clients connect to, and its limits. A change reloads the gateway: no request is lost."""
    host: Host = Field(Host(), description="what engines leave alone")
    """What the models may use of a host."""


class Served(Model):
    """A model that passed every check: all that anybody needs to know of it."""

    name: str
    checkpoint: Checkpoint
    """What its weights are, from models.lock.json."""
    template: str | None = None
    """The text of its chat template, where models.yaml names one."""

    @property
    def step_tokens(self) -> int:
        """The most tokens of one step of its engine."""
        engine = self.engine
        return engine.max_num_batched_tokens or step_tokens(
            self.checkpoint, cores=self.cores, sequences=engine.max_num_seqs
        )

    @property
    def takes_pictures(self) -> bool:
        """Whether its engine is started for pictures."""
        return self.checkpoint.shape.takes_pictures and (self.engine.limit_mm_per_prompt or {}).get("image") != 0

    @property
    def parsers(self) -> Family:
        """The parsers that its engine is started with: those of models.yaml, else those that fit the chat template."""
        engine, checkpoint = self.engine, self.checkpoint
        family = checkpoint.parsers
        if self.template is not None:
            family = defaults_for(checkpoint.shape.architecture, self.template)
        tools = None if engine.enable_auto_tool_choice is False else engine.tool_call_parser or family.tool_call_parser
        return Family(tools, engine.reasoning_parser or family.reasoning_parser)


class Deployment(Frozen):
    """What models.yaml says and what its checkpoints are, checked."""

    default_model: str
    models: Mapping[str, Served]
    gateway: Gateway
    host: Host
    routing: Routing | None = None

    @property
    def is_compiling_models(self) -> bool:
        """Whether an engine compiles its model when it starts: then its host needs a compiler while it serves."""
        return not all(model.engine.enforce_eager for model in self.models.values())
