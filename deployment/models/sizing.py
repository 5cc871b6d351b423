"""Decide whether the models fit a host, and what each engine gets of it. Everything here is derived."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from deployment.checkpoint.kv_cache import sequences_at_once
from deployment.errors import ConfigError
from deployment.models.memory import MemoryEstimate, estimate_memory, packed_bytes
from deployment.models.spec import CorePolicy, Deployment, Served
from deployment.problems import joined
from deployment.quantities import shown_bytes

# Linux allows 107 bytes and a closing zero in sockaddr_un.sun_path (unix(7)); supervisor appends its process id.
SOCKET_PATH_BYTES = 107 - len(".4194304")
RUNNER = "supervisor"
"""Whose socket lies beside those of the engines on a local target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFacts:
    """What of a host decides whether a deployment fits."""

    name: str
    cores: int
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePlan:
    """A model, and what its engine gets of the host."""

    model: Served
    cores: tuple[int, ...]
    """Core numbers its processes may run on."""
    policy: CorePolicy
    every_core: tuple[int, ...]
    """The cores of all engines."""
    socket: str
    memory: MemoryEstimate
    packed_bytes: int
    """Of the file that keeps its packed weights; 0 where it packs none."""

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def is_shared(self) -> bool:
        """Whether others run on its cores as well, at any time."""
        return self.policy == "shared"

    @property
    def core_list(self) -> str:
        """Cores as the kernel writes them: `4-7,9`."""
        return core_list(self.cores)

    @property
    def lent_list(self) -> str:
        """What it may borrow of others while they rest; nothing unless cores are lent."""
        return core_list([core for core in self.every_core if core not in self.cores]) if self.is_elastic else ""

    @property
    def is_elastic(self) -> bool:
        """Whether it lends its cores, and borrows those of others."""
        return self.policy == "elastic"

    @property
    def allowed_list(self) -> str:
        """The cores that the system lets it run on."""
        return core_list(self.every_core) if self.is_elastic else self.core_list

    @property
    def compute_list(self) -> str:
        """Those of its own that compute."""
        return core_list(self.cores[1:] or self.cores)

    @property
    def compute_threads(self) -> int:
        """One core of a set stays free for the engine's scheduler, which spins (vLLM 0.32, busy_loop_s)."""
        cores = self.model.cores
        return cores if self.is_shared or cores == 1 else cores - 1

    @property
    def thread_binding(self) -> str:
        """vLLM's VLLM_CPU_OMP_THREADS_BIND."""
        return self.compute_list if self.policy == "disjoint" else "nobind"

    @property
    def full_length_sequences(self) -> int:
        """How many sequences of max_model_len the KV cache holds at once."""
        engine = self.model.engine
        return sequences_at_once(
            self.model.checkpoint.shape.attention,
            engine.dtype,
            tokens=engine.max_model_len,
            step_tokens=self.model.step_tokens,
            kv_bytes=int(engine.kv_cache_memory_bytes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A deployment that fits a host."""

    host: HostFacts
    engines: Mapping[str, EnginePlan]
    system_cores: tuple[int, ...]
    free_bytes: int
    """What is left when as much is loaded as may be."""
    on_demand_bytes: int = 0
    """For all models on demand that are loaded at a time: what those that always run leave; 0 where there is none."""


def plan(deployment: Deployment, host: HostFacts, root: str) -> Plan:
    """Give every engine its cores, socket and memory. Raises ConfigError naming each term when it does not fit."""
    estimates = {name: estimate_memory(model) for name, model in deployment.models.items()}
    problems = [
        *_cores_problems(deployment, host),
        *_memory_problems(deployment, host, estimates),
        *_socket_problems(deployment, root),
    ]
    if problems:
        raise ConfigError(problems)
    cores = assign_cores(deployment, host.cores)
    every_core = tuple(range(deployment.host.reserved_cores, host.cores))
    engines = {
        name: EnginePlan(
            model=model,
            cores=cores[name],
            policy=deployment.host.core_policy,
            every_core=every_core,
            socket=socket_path(root, name),
            memory=estimates[name],
            packed_bytes=packed_bytes(model),
        )
        for name, model in deployment.models.items()
    }
    left = model_memory(deployment, host) - sum(each.total for each in _always(deployment, estimates).values())
    on_demand = sum(each.total for each in _on_demand(deployment, estimates).values())
    return Plan(
        host=host,
        engines=engines,
        system_cores=tuple(range(deployment.host.reserved_cores)),
        free_bytes=left - min(left, on_demand),
        on_demand_bytes=left if on_demand else 0,
    )


def model_memory(deployment: Deployment, host: HostFacts) -> int:
    """Return what all engines of a host may hold."""
    return host.memory_bytes - int(deployment.host.reserved_memory)


def _always(deployment: Deployment, estimates: Mapping[str, MemoryEstimate]) -> dict[str, MemoryEstimate]:
    return {name: each for name, each in estimates.items() if not deployment.models[name].on_demand}


def _on_demand(deployment: Deployment, estimates: Mapping[str, MemoryEstimate]) -> dict[str, MemoryEstimate]:
    return {name: each for name, each in estimates.items() if deployment.models[name].on_demand}


def assign_cores(deployment: Deployment, host_cores: int) -> dict[str, tuple[int, ...]]:
    """Number the cores: the first ones for the system, then each model's in the order of the file.

    Neighbouring numbers stay together, since a socket's or a cluster's cores are numbered in a row.
    """
    first = deployment.host.reserved_cores
    if deployment.host.core_policy == "shared":
        everything = tuple(range(min(first, host_cores - 1), host_cores))
        return dict.fromkeys(deployment.models, everything)
    assigned: dict[str, tuple[int, ...]] = {}
    for name, model in deployment.models.items():
        assigned[name] = tuple(range(first, first + model.cores))
        first += model.cores
    return assigned


def socket_path(root: str, name: str) -> str:
    """Where an engine listens."""
    return f"{root}/run/{name}.sock"


def _cores_problems(deployment: Deployment, host: HostFacts) -> Iterator[str]:
    reserved = deployment.host.reserved_cores
    if deployment.host.core_policy == "shared":
        for name, model in deployment.models.items():
            if model.cores > max(1, host.cores - reserved):
                yield (
                    f"models.{name}.cores: more than {host.name} shares, got {model.cores} of {host.cores} with "
                    f"{reserved} reserved. Give at most {max(1, host.cores - reserved)}."
                )
        return
    wanted = sum(model.cores for model in deployment.models.values())
    if reserved + wanted > host.cores:
        terms = " + ".join(f"{name} {model.cores}" for name, model in deployment.models.items())
        yield (
            f"models: {host.name} has {host.cores} cores, got {reserved + wanted} "
            f"(host.reserved_cores {reserved} + {terms}). Lower cores by {reserved + wanted - host.cores}, "
            "take a larger machine, or set host.core_policy to shared, which the planner cannot foresee."
        )


def _memory_problems(deployment: Deployment, host: HostFacts, estimates: Mapping[str, MemoryEstimate]) -> Iterator[str]:
    """The models that always run and, beside them, the largest on demand must fit: the gateway sees to the rest."""
    reserved, on_demand = int(deployment.host.reserved_memory), _on_demand(deployment, estimates)
    always = sum(each.total for each in _always(deployment, estimates).values())
    largest_on_demand = max((each.total for each in on_demand.values()), default=0)
    wanted = reserved + always + largest_on_demand
    if wanted <= host.memory_bytes:
        return
    if len(on_demand) > 1:
        smaller = [name for name, each in on_demand.items() if each.total <= host.memory_bytes - reserved - always]
        estimates = {name: each for name, each in estimates.items() if name not in smaller}
    terms = "".join(f"\n    {name} {shown_bytes(each.total)}: {each}" for name, each in estimates.items())
    largest = max(estimates, key=lambda name: estimates[name].kv_cache)
    yield (
        f"models: {host.name} has {shown_bytes(host.memory_bytes)} of memory, got {shown_bytes(wanted)} "
        f"(host.reserved_memory {shown_bytes(reserved)} and the engines below). Free "
        f"{shown_bytes(wanted - host.memory_bytes)}: lower kv_cache_memory_bytes (largest: {largest}), serve fewer "
        f"models, quantize, or take a larger machine.{terms}"
    )


def _socket_problems(deployment: Deployment, root: str) -> Iterator[str]:
    names = (*deployment.models, RUNNER)
    too_long = [name for name in names if len(socket_path(root, name).encode()) > SOCKET_PATH_BYTES]
    if too_long:
        longest = max(len(socket_path(root, name).encode()) for name in too_long)
        yield (
            f"{root}: too long for the sockets of {joined(too_long)}, got {longest} bytes where Linux takes "
            f"{SOCKET_PATH_BYTES}. Choose a shorter one: data_mount, AXION_LOCAL_ROOT, or another checkout."
        )


def core_list(cores: Iterable[int]) -> str:
    """Write cores as the kernel does."""
    ranges: list[tuple[int, int]] = []
    for core in cores:
        if ranges and core == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], core)
        else:
            ranges.append((core, core))
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in ranges)
