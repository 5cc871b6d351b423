"""What is asked of a deployment: requests a minute, their lengths, and how fast the answers must be."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeGuard

from pydantic import Field, ValidationError

from deployment.capacity.queueing import Work
from deployment.document import Document, Path
from deployment.errors import ConfigError
from deployment.frozen import Count, Frozen
from deployment.models.spec import Deployment
from deployment.problems import describe, joined, shown

PROMPT_TOKENS, OUTPUT_TOKENS = 512, 128
REQUESTS_PER_MIN = 300.0
Rate = Annotated[float, Field(gt=0, le=1e6, strict=True)]
Limit = Annotated[float, Field(gt=0, le=1e6, strict=True)]


class Asked(Frozen):
    """What may differ from model to model."""

    prompt_tokens: Count | None = Field(None, description="tokens of a prompt")
    output_tokens: Count | None = Field(None, description="tokens of an answer, on average")
    ttft_p95_s: Limit | None = Field(None, description="seconds in which 95 % of answers must begin")
    tokens_per_s: Limit | None = Field(None, description="tokens a second that each answer must have, on average")


class ModelLoad(Asked):
    """The load of one model."""

    requests_per_min: Rate | None = Field(None, description="requests a minute")
    share: Annotated[float, Field(ge=0, le=1e6, strict=True)] | None = Field(
        None, description="its part of requests_per_min"
    )


class LoadFile(Asked):
    """The keys of a load file. What stands at its top is for every model that does not say otherwise."""

    requests_per_min: Rate | None = Field(None, description="requests a minute of all models, divided by shares")
    models: Mapping[str, ModelLoad] = Field({}, description="a mapping from model name to what differs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """How fast answers must be; None where it does not matter."""

    ttft_p95_s: float | None = None
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Of one model."""

    per_s: float
    work: Work
    target: Target

    @property
    def tokens_per_s(self) -> float:
        """Of all answers together."""
        return self.per_s * self.work.output_tokens


def read_load(document: Document, deployment: Deployment) -> Mapping[str, Load]:
    """Check a load file against the models that it is asked of. Raises ConfigError with all that is wrong."""
    data: Any = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise ConfigError([f"{document.file}: not a mapping, got {shown(data)}. Give requests_per_min."])
    problems = document.problems()
    try:
        file = LoadFile.model_validate(data)
    except ValidationError as error:
        problems += describe(error, (), document, LoadFile)
    problems += [f"{document.where(path)}: {what}" for path, what in _findings(data, deployment)]
    if problems:
        raise ConfigError(problems)
    return loads_of(file, deployment, document.file)


def _findings(data: Mapping[str, Any], deployment: Deployment) -> Iterator[tuple[Path, str]]:
    """Models that are not served, and numbers that contradict each other; whatever else is wrong with the file."""
    models, total = data.get("models"), data.get("requests_per_min")
    if not isinstance(models, dict):
        return
    own: list[float] = []
    for name, said in models.items():
        path: Path = ("models", str(name))
        if name not in deployment.models:
            yield path, f"no such model, got {name}. Use {joined(deployment.models)}."
        rate, share = (said.get(key) if isinstance(said, dict) else None for key in ("requests_per_min", "share"))
        if rate is not None and share is not None:
            yield (*path, "share"), f"beside requests_per_min of its own, got {shown(share)}. Delete one of the two."
        elif share and total is None:
            yield (
                (*path, "share"),
                f"a part of nothing, got {shown(share)}. Give requests_per_min at the top of the file.",
            )
        own += [rate] if _is_number(rate) else []
    if _is_number(total) and sum(own) > total:
        what = f"less than the {sum(own):g} that models have of their own, got {shown(total)}"
        yield ("requests_per_min",), f"{what}. It is the total: raise it, or lower theirs."


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def loads_of(file: LoadFile, deployment: Deployment, where: str) -> Mapping[str, Load]:
    """Divide the requests among the models, and fill in what is said for all. Raises ConfigError."""
    each = {name: file.models.get(name, ModelLoad()) for name in deployment.models}
    rates = _rates(file, each)
    found, problems = {}, []
    for name, said in each.items():
        work = Work(
            prompt_tokens=said.prompt_tokens or file.prompt_tokens or PROMPT_TOKENS,
            output_tokens=said.output_tokens or file.output_tokens or OUTPUT_TOKENS,
        )
        longest, whole = deployment.models[name].engine.max_model_len, work.context
        if whole > longest:
            problems.append(
                f"{where} models.{name}: longer than max_model_len {longest}, got {whole} tokens of prompt and answer. "
                "Ask for fewer, or raise it."
            )
        target = Target(
            ttft_p95_s=said.ttft_p95_s or file.ttft_p95_s, tokens_per_s=said.tokens_per_s or file.tokens_per_s
        )
        found[name] = Load(per_s=rates[name] / 60, work=work, target=target)
    if not any(rates.values()):
        problems.append(f"{where}: no requests. Give requests_per_min, in all or of a model.")
    if problems:
        raise ConfigError(problems)
    return found


def _rates(file: LoadFile, each: Mapping[str, ModelLoad]) -> Mapping[str, float]:
    """Requests a minute: a model's own, or its part of what the others leave of the total; equal parts by default."""
    own = {name: said.requests_per_min for name, said in each.items() if said.requests_per_min is not None}
    left = max(0.0, (file.requests_per_min or 0.0) - sum(own.values()))
    has_shares = any(said.share is not None for said in each.values())
    parts = {name: (said.share or 0.0) if has_shares else 1.0 for name, said in each.items() if name not in own}
    whole = sum(parts.values()) or 1.0
    return {name: own[name] if name in own else left * parts[name] / whole for name in each}
