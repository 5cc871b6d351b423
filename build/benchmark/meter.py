"""Measure loads on a host: an agent there runs the generators, asks through the gateway and counts by the engines."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from agent.bench_messages import LoadOrder, LoadResult
from build.benchmark.cells import Cell, Subject, generators
from build.benchmark.document import CellPair, CellReport
from build.benchmark.figures import load_of, overlap_share
from build.deploy.diff import Desired
from build.engine.commands import BuildDirectory
from build.remote.executor import ask
from build.remote.host import Host
from deployment.render.release import KEYS_FILE

ENDS_S = 120.0
"""For the agent to end generators itself, and to count, before its own bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """What is asked, where, and for how long at most."""

    host: Host
    desired: Desired
    """What serves: its address and its engine environment, whose generator is used."""
    subjects: Mapping[str, Subject]
    is_quick: bool
    cell_timeout_s: float

    def measure_pair(self, cell: Cell) -> CellPair:
        """Measure with prompts that are new each time, then the same once more. Raises DeployError."""
        seed = secrets.randbits(31)  # what an engine has seen is not cold again
        return CellPair(cold=self._measure(cell, seed, is_warm=False), warm=self._measure(cell, seed, is_warm=True))

    def _measure(self, cell: Cell, seed: int, *, is_warm: bool) -> CellReport:
        order = LoadOrder(
            gateway=self.desired.address,
            keys=KEYS_FILE if self.host.target.keys else None,
            generators=tuple(generators(cell, self.subjects, seed, is_quick=self.is_quick)),
            timeout_s=self.cell_timeout_s,
        )
        agent = BuildDirectory.of(self.host.target.root, self.desired.build).agent
        command = agent.command(
            "bench-load", what=f"measure {cell.key}", stdin=order.to_json().encode(),
            timeout_s=self.cell_timeout_s + ENDS_S,
        )  # fmt: skip
        return reported(cell, ask(self.host.executor, command, LoadResult), seed, is_warm=is_warm)


def reported(cell: Cell, result: LoadResult, seed: int, *, is_warm: bool) -> CellReport:
    """Make the figures of one cell."""
    loads = tuple(load_of(model, result.generated[model]) for model in cell.models)
    return CellReport(
        key=cell.key,
        models=cell.models,
        profile=cell.profile,
        concurrency=cell.concurrency,
        is_warm=is_warm,
        seed=seed,
        overlap_share=overlap_share(loads),
        loads=loads,
    )
