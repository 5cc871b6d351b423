"""The bytes that one token reads, and how fast that makes it on a measured bandwidth."""

from collections.abc import Mapping

from build.benchmark.figures import Frozen
from deployment.capacity.engine import weights_of
from deployment.models.spec import Served


class TokenBytes(Frozen):
    """What one token at batch 1 reads once, in bytes. Modelled from the lock file's tensors."""

    weights: int
    """Of the linear layers, scales included."""
    head: int
    kv_cache: int
    """Of the context given."""

    @property
    def total(self) -> int:
        return self.weights + self.head + self.kv_cache


class Roofline(Frozen):
    """A model's limit by memory, beside what was measured at one request at a time."""

    model: str
    threads: int
    """On which its engine computes."""
    context_tokens: int
    bytes_per_token: TokenBytes
    read_bytes_per_s: float
    """Measured with that many threads, or the next smaller number that was tried."""
    modelled_tokens_per_s: float
    measured_tokens_per_s: float | None
    """None where nothing was measured at one request at a time."""

    @property
    def efficiency(self) -> float | None:
        return None if self.measured_tokens_per_s is None else self.measured_tokens_per_s / self.modelled_tokens_per_s

    @property
    def bound(self) -> str:
        """What holds it back, as far as this comparison can tell."""
        if self.efficiency is None:
            return "not measured"
        if self.efficiency > 1:
            return "caches: its weights are not read from memory each time"
        if self.efficiency >= 0.5:
            return "memory bandwidth"
        return "not memory bandwidth: computing, or what a step costs beside it"


def token_bytes(model: Served, context_tokens: int) -> TokenBytes:
    """Count what a token reads after so many others."""
    weights = weights_of(model)
    return TokenBytes(
        weights=weights.linear_bytes,
        head=weights.head_bytes,
        kv_cache=int(weights.cache_bytes * weights.seen(context_tokens)),
    )


def read_bandwidth(measured: Mapping[str, Mapping[str, float]], threads: int) -> float:
    """The best reading speed with at most so many threads: more may be slower."""
    return max(figures["read"] for count, figures in measured.items() if int(count) <= max(1, threads))


def roofline(
    name: str,
    model: Served,
    *,
    threads: int,
    bandwidths: Mapping[str, Mapping[str, float]],
    context_tokens: int,
    tpot_s: float | None,
) -> Roofline:
    """Set a model's limit beside what was measured."""
    read, needs = read_bandwidth(bandwidths, threads), token_bytes(model, context_tokens)
    return Roofline(
        model=name,
        threads=threads,
        context_tokens=context_tokens,
        bytes_per_token=needs,
        read_bytes_per_s=read,
        modelled_tokens_per_s=read / needs.total,
        measured_tokens_per_s=1 / tpot_s if tpot_s else None,
    )
