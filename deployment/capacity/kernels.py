"""How many multiply-accumulates of a layer one core does in a cycle, by rows: kernels/bench/baseline.json, modelled."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from deployment.capacity.machine import Machine

FEW_ROWS, MANY_ROWS = 16, 128
"""Up to the first a kernel is one of few rows, like ggml's GEMV; from the second on one like its GEMM."""
HEADS = {
    "int8": {1: "linear_w8 NEON M=1 K=1024", 4: "linear_w8 NEON M=4 K=1024"},
    "bf16": {1: "linear_bf16 NEON M=1 K=1024", 32: "linear_bf16 NEON K=1024 bf16 out"},
}
WEIGHTS_PER_BYTE = {"int8": 1.0, "bf16": 0.5, "g32": 2.0, "g128": 2.0}


@dataclass(frozen=True, slots=True)
class Rates:
    """MACs per cycle of a layer at some numbers of rows, as modelled."""

    by_rows: Mapping[int, float]

    def macs_per_s(self, rows: int, machine: Machine) -> float:
        """Of one core as calibrated: between the numbers of rows that are known, in proportion."""
        return _between(self.by_rows, rows) * _share(rows, machine) * machine.clock_hz


@dataclass(frozen=True, slots=True)
class Kernels:
    """What serves a model."""

    linear: Rates
    head: Rates
    cache_bytes_per_cycle: float
    """Keys and values that attention reads for one new token."""
    attention_macs_per_cycle: float
    """While it reads a prompt."""


def kernels_of(path: Path, *, group: int | None, head: str) -> Kernels:
    """The figures for weights of which so many share a scale (64 as 128), or for bfloat16 where `group` is None."""
    cases = json.loads(path.read_text(encoding="utf-8"))["cases"]
    figures = {name: case["figure"] for name, case in cases.items()}
    linear = _named(figures, HEADS["bf16"], "bf16") if group is None else _int4(figures, group)
    return Kernels(
        linear,
        _named(figures, HEADS[head], head),
        figures["attention NEON decode, 1024 keys, 4:1 heads"],
        figures["attention NEON prefill 64 of 256, D=128"],
    )


def _int4(figures: Mapping[str, float], group: int) -> Rates:
    """Cases of up to 8 rows count packed bytes, each read once for all rows; those of more count MACs."""
    name = "g32" if group == 32 else "g128"
    few = {rows: figures[f"linear_w4 NEON M={rows} {name}"] * WEIGHTS_PER_BYTE[name] * rows for rows in (1, 4, 8)}
    return Rates({**few, **{rows: figures[f"linear_w4 NEON M={rows} {name}"] for rows in (FEW_ROWS, MANY_ROWS)}})


def _named(figures: Mapping[str, float], names: Mapping[int, str], kind: str) -> Rates:
    """Cases of few rows count weight bytes, that of bfloat16 with 32 counts MACs."""
    each = WEIGHTS_PER_BYTE[kind]
    return Rates({rows: figures[name] * (1 if rows > 8 else each * rows) for rows, name in names.items()})


def _share(rows: int, machine: Machine) -> float:
    return _between({FEW_ROWS: machine.gemv_share, MANY_ROWS: machine.gemm_share}, rows)


def _between(known: Mapping[int, float], at: int) -> float:
    """The value at a number, on the lines between known ones; beyond them that of the nearest."""
    points = sorted(known.items())
    if at <= points[0][0]:
        return points[0][1]
    for (left, low), (right, high) in pairwise(points):
        if at <= right:
            return low + (high - low) * (at - left) / (right - left)
    return points[-1][1]
