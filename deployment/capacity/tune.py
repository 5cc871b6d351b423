"""Choose cores, sequences, step, KV cache and speculation of each model for a machine: a small search, always the same.

What is better is decided in this order: how many models miss their target; by how much the worst of those misses it;
then the speed of answers and how soon they begin, each model weighted by its share of the requests; then memory. What a
models file says today is among what is compared, so the proposal is never worse than it, by this model.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployment.capacity.cores import FEWEST, divided, shortfall, worth
from deployment.capacity.engine import Engine, engine_of
from deployment.capacity.host import Outcome, outcomes, queues_of
from deployment.capacity.load import Load
from deployment.capacity.machine import Machine
from deployment.capacity.plan import facts_of
from deployment.checkpoint.kv_cache import sequence_bytes, sequences_at_once
from deployment.errors import ConfigError
from deployment.models.engine_options import Speculation
from deployment.models.memory import estimate_memory
from deployment.models.sizing import plan
from deployment.models.spec import Deployment, Served
from deployment.models.step import FEWEST as FEWEST_TOKENS
from deployment.models.step import FEWEST_WITH_PICTURES, MOST, MULTIPLE, STEP_S
from deployment.quantities import GIB
from deployment.stack.shape import Shape

SEQUENCES = (4, 8, 16)
"""No fewer: requests come in bursts, whatever the average says."""
GUESSES = 3
TOKENS_PER_STEP = {"coding": 1.7}
"""Assumed, by a model's domain: what a step with GUESSES guesses by n-grams gives where answers repeat the prompt.
Others get 1: nothing is known.
"""
ROUNDS = 20
"""Of exchanging a core between two models; each must bring something, so there are far fewer."""

Score = tuple[float, float, float, float]
"""Compared from the left; larger is better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A proposal, and what is expected of it and of what there is today."""

    deployment: Deployment
    outcomes: Mapping[str, Outcome]
    before: Mapping[str, Outcome] | None
    """None where today's file does not fit the machine."""
    why: Mapping[str, tuple[str, ...]]

    def changes(self, name: str) -> Mapping[str, int | str | Mapping[str, int | str]]:
        """What the file is to say of a model, by the path of its key below the model."""
        model = self.deployment.models[name]
        engine = model.engine
        said: dict[str, int | str | Mapping[str, int | str]] = {
            "cores": model.cores,
            "engine.max_num_seqs": engine.max_num_seqs,
            "engine.max_num_batched_tokens": model.step_tokens,
            "engine.kv_cache_memory_bytes": f"{int(engine.kv_cache_memory_bytes) // GIB}GiB",
        }
        if engine.speculative_config is not None:
            said["engine.speculative_config"] = {"method": "ngram", "num_speculative_tokens": GUESSES}
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What a proposal is for."""

    loads: Mapping[str, Load]
    shape: Shape
    machine: Machine
    baseline: Path

    def outcomes(self, deployment: Deployment) -> Mapping[str, Outcome]:
        return outcomes(queues_of(deployment, self.loads, self.machine, self.baseline), self.loads)

    def score(self, deployment: Deployment) -> Score:
        return score(self.outcomes(deployment), kv_bytes(deployment))

    def engine(self, model: Served) -> Engine:
        return engine_of(model, self.machine, self.baseline)


def tuned(deployment: Deployment, search: Search) -> Tuned:
    """Propose. Raises ConfigError where the models cannot share the machine at all."""
    plain = _without_guesses(deployment)
    before = _today(deployment, plain, search)
    sizes = [_changed(plain, {name: {"max_num_seqs": most} for name in plain.models}) for most in SEQUENCES]
    started = [_with_kv(_divided(each, search), search.shape) for each in sizes]
    candidates = [each for each in started if each is not None]
    if before is not None:
        candidates.append(plain)
    if not candidates:
        plan(plain, facts_of(search.shape), "/opt/axion")  # which says what does not fit
        raise ConfigError(
            [f"--machine: the models' memory does not fit, got {search.shape.machine_type}. Take a larger one."]
        )
    best = _improved(max(candidates, key=search.score), search)
    stepped = _with_steps(best, search)
    chosen = max((best, stepped), key=lambda each: (search.score(each), each is stepped))
    return Tuned(
        deployment=_with_guesses(chosen, search),
        outcomes=search.outcomes(chosen),
        before=before,
        why={
            name: tuple(_why(model, search.engine(model), search.loads[name].work.context))
            for name, model in chosen.models.items()
        },
    )


def _today(deployment: Deployment, plain: Deployment, search: Search) -> Mapping[str, Outcome] | None:
    try:
        plan(deployment, facts_of(search.shape), "/opt/axion")
    except ConfigError:
        return None
    return search.outcomes(plain)


def kv_bytes(deployment: Deployment) -> int:
    """Of all models together."""
    return sum(int(model.engine.kv_cache_memory_bytes) for model in deployment.models.values())


def score(found: Mapping[str, Outcome], kv: int) -> Score:
    """How good a configuration is. Speeds within 1 % are the same: then less memory is better."""
    asked = [each for each in found.values() if each.load.per_s]
    lacks = [shortfall(each.answers, each.load) for each in asked]
    missed = sum(lack > 1 for lack in lacks)
    value = sum(worth(each.answers, each.load) for each in asked) / sum(each.load.per_s for each in asked)
    return (-missed, -round(max(1.0, *lacks), 2), round(value, 2), -kv)


def _improved(best: Deployment, search: Search) -> Deployment:
    """Exchange a core, or change one model's sequences, while that is better."""
    reached = search.score(best)
    for _ in range(ROUNDS):
        tried = [each for each in (_with_kv(other, search.shape) for other in _neighbours(best)) if each is not None]
        scored = [(search.score(each), each) for each in tried]
        top, found = max(scored, key=lambda each: each[0], default=(reached, best))
        if top <= reached:
            return best
        reached, best = top, found
    return best


def _neighbours(deployment: Deployment) -> Iterator[Deployment]:
    models = deployment.models
    for giver, taker in ((one, other) for one in models for other in models if one != other):
        if models[giver].cores > FEWEST:
            yield _changed(
                deployment,
                {giver: {"cores": models[giver].cores - 1}, taker: {"cores": models[taker].cores + 1}},
            )
    for name, model in models.items():
        for most in SEQUENCES:
            if most != model.engine.max_num_seqs:
                yield _changed(deployment, {name: {"max_num_seqs": most}})


def _changed(deployment: Deployment, changes: Mapping[str, Mapping[str, Any]]) -> Deployment:
    """A deployment with other cores (of a model) and arguments (of its engine)."""
    models = dict(deployment.models)
    for name, change in changes.items():
        model = models[name]
        own = {key: value for key, value in change.items() if key == "cores"}
        arguments = {key: value for key, value in change.items() if key != "cores"}
        models[name] = model.model_copy(update={**own, "engine": model.engine.model_copy(update=arguments)})
    return deployment.model_copy(update={"models": models})


def _without_guesses(deployment: Deployment) -> Deployment:
    """Steps as derived, and no speculation: what is compared."""
    plain = {"speculative_config": None, "max_num_batched_tokens": None}
    return _changed(deployment, dict.fromkeys(deployment.models, plain))


def _divided(deployment: Deployment, search: Search) -> Deployment | None:
    free = search.shape.vcpus - deployment.host.reserved_cores
    if free < FEWEST * len(deployment.models):
        return None
    queues = queues_of(deployment, search.loads, search.machine, search.baseline)
    cores = divided(deployment, queues, search.loads, free)
    return _changed(deployment, {name: {"cores": count} for name, count in cores.items()})


def _with_kv(deployment: Deployment | None, shape: Shape) -> Deployment | None:
    """Memory for as many sequences of full length as a step has; less where the machine has less, evenly cut.

    None where not even one sequence of each model fits. Of models on demand the largest counts, as in sizing.
    """
    if deployment is None:
        return None
    models = deployment.models
    least = {name: _kv_bytes(model, 1) for name, model in models.items()}
    wanted = {name: _kv_bytes(model, model.engine.max_num_seqs) for name, model in models.items()}
    rest = {
        name: estimate_memory(model).total - int(model.engine.kv_cache_memory_bytes) for name, model in models.items()
    }
    free = facts_of(shape).memory_bytes - int(deployment.host.reserved_memory)
    on_demand = [name for name, model in models.items() if model.on_demand]

    def held(kv: Mapping[str, int]) -> list[str]:
        """Those that decide what memory is needed."""
        largest = max(on_demand, key=lambda name: rest[name] + kv[name], default=None)
        return [name for name in models if name not in on_demand or name == largest]

    def needed(kv: Mapping[str, int]) -> int:
        return sum(rest[name] + kv[name] for name in held(kv))

    if needed(least) > free:
        return None
    given = dict(wanted)
    while needed(given) > free:
        largest = max((name for name in held(given) if given[name] > least[name]), key=lambda name: given[name])
        given[largest] -= GIB
    return _changed(deployment, {name: {"kv_cache_memory_bytes": size} for name, size in given.items()})


def _kv_bytes(model: Served, sequences: int) -> int:
    engine, attention = model.engine, model.checkpoint.shape.attention
    one = sequence_bytes(attention, engine.dtype, tokens=engine.max_model_len, step_tokens=model.step_tokens)
    return -(-one * sequences // GIB) * GIB


def _with_steps(deployment: Deployment, search: Search) -> Deployment:
    """Write the largest step that takes no longer than STEP_S beside running answers, by this model."""
    steps = {}
    for name, model in deployment.models.items():
        engine, context = search.engine(model), search.loads[name].work.context
        sequences = model.engine.max_num_seqs
        fewest = FEWEST_WITH_PICTURES if model.checkpoint.shape.takes_pictures else FEWEST_TOKENS
        tokens = max(fewest, sequences)
        for more in range(tokens + MULTIPLE, MOST + 1, MULTIPLE):
            chunk = more - sequences
            if engine.step_s(sequences=sequences, context=context, chunk=chunk, chunk_end=chunk) > STEP_S:
                break
            tokens = more
        steps[name] = {"max_num_batched_tokens": tokens}
    return _changed(deployment, steps)


def break_even(engine: Engine, context: int) -> float:
    """Tokens that a step with GUESSES guesses must give to be worth its time, with one running answer.

    A guess costs what a sequence does; that all of them look back at one cache is little at these lengths.
    """
    return engine.step_s(sequences=1 + GUESSES, context=context) / engine.step_s(sequences=1, context=context)


def _with_guesses(deployment: Deployment, search: Search) -> Deployment:
    on = Speculation(method="ngram", num_speculative_tokens=GUESSES)
    worth_it = {
        name: {"speculative_config": on}
        for name, model in deployment.models.items()
        if TOKENS_PER_STEP.get(model.domain, 1.0) > break_even(search.engine(model), search.loads[name].work.context)
    }
    return _changed(deployment, worth_it)


def _why(model: Served, engine: Engine, context: int) -> Iterator[str]:
    """A reason for each key."""
    sequences, tokens = model.engine.max_num_seqs, model.step_tokens
    alone_s, full_s = (engine.step_s(sequences=count, context=context) for count in (1, sequences))
    yield (
        f"cores {model.cores}: {engine.threads} compute; a token takes {alone_s * 1e3:.0f} ms, of which memory needs "
        f"{engine.bytes_per_step(context) / engine.bandwidth * 1e3:.0f}"
    )
    yield (
        f"max_num_seqs {sequences}: a step with {sequences} takes {full_s * 1e3:.0f} ms, so "
        f"{sequences / full_s:.0f} tokens/s in all where one alone has {1 / alone_s:.0f}"
    )
    chunk = max(1, tokens - sequences)
    whole_s = engine.step_s(sequences=sequences, context=context, chunk=chunk, chunk_end=chunk)
    yield f"max_num_batched_tokens {tokens}: a full step takes {whole_s:.2f} s, which is how long others pause"
    held = sequences_at_once(
        model.checkpoint.shape.attention,
        model.engine.dtype,
        tokens=model.engine.max_model_len,
        step_tokens=tokens,
        kv_bytes=int(model.engine.kv_cache_memory_bytes),
    )
    yield (
        f"kv_cache_memory_bytes {int(model.engine.kv_cache_memory_bytes) // GIB}GiB: {held} sequences of "
        f"{model.engine.max_model_len} tokens"
    )
    needed, assumed = break_even(engine, context), TOKENS_PER_STEP.get(model.domain, 1.0)
    word = "on" if assumed > needed else "off"
    yield (
        f"speculation {word}: a step that checks {GUESSES} guesses takes {needed:.2f} times as long, and gives "
        f"{assumed:g} tokens, assumed for the domain {model.domain}"
    )
