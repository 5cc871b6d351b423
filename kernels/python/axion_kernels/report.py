"""What is really in use, for whoever deploys: a JSON file, and gauges on the engine's /metrics.

vLLM's front end answers /metrics while another process runs the layers. The file joins them: the process with the
layers writes it, the collector in the front end reads it. The first process to register owns it and passes its path
on in the environment.
"""

import atexit
import json
import os
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily

VARIABLE = "AXION_KERNELS_REPORT"
OWNER = "AXION_KERNELS_REPORT_OWNER"  # process id of the process that began the report


@dataclass
class Packed:
    """What became of packed weights; what does not apply is not told."""

    state: str
    """made, mapped or converted."""
    bytes: int | None = None
    file: str | None = None
    locked: bool | None = None
    reason: str | None = None


@dataclass
class Report:
    """The file, which others read by a class of their own (agent/running.py)."""

    isa: str = ""
    enabled: list[str] = field(default_factory=list)
    layers: dict[str, int] = field(default_factory=dict)
    packed: Packed | None = None


_report = Report()
_is_held = False


def begin(enabled: Iterable[str], *, isa: str) -> bool:
    """Start the report of this process; return whether it is the engine's first."""
    _report.isa, _report.enabled = isa, sorted(enabled)
    if OWNER in os.environ:
        return False  # A child: it has something to say once it holds layers.
    os.environ[OWNER] = str(os.getpid())
    if not os.environ.get(VARIABLE):
        handle, path = tempfile.mkstemp(prefix="axion-kernels-", suffix=".json")
        os.close(handle)
        os.environ[VARIABLE] = path
        atexit.register(Path(path).unlink, missing_ok=True)
    _write()
    # With several API servers vLLM answers from files of its own registry; the report on disk remains.
    REGISTRY.register(ReportCollector())
    return True


@contextmanager
def written_at_end() -> Generator[None]:
    """Write what is told meanwhile once: hundreds of layers, each with its rename, took 3 s on a busy disk."""
    global _is_held  # noqa: PLW0603  # one report for each process
    _is_held = True
    try:
        yield
    finally:
        _is_held = False
        _write()


def count_layer(kernel: str) -> None:
    """Note that one more layer of the model runs on this kernel."""
    _report.layers[kernel] = _report.layers.get(kernel, 0) + 1
    _write()


def tell(packed: Packed) -> None:
    """Note what became of the weights."""
    _report.packed = packed
    _write()


def read() -> Report:
    """The report as last written by the process that holds the layers."""
    told = json.loads(Path(os.environ[VARIABLE]).read_text())
    packed = told.pop("packed", None)
    return Report(**told, packed=Packed(**packed) if packed else None)


def _write() -> None:
    if _is_held or not os.environ.get(VARIABLE):
        return  # The latter: a layer used without the plug-in, as tests do.
    path = Path(os.environ[VARIABLE])
    # Replaced, never rewritten: a reader sees the old report or the new one.
    draft = path.with_suffix(f".{os.getpid()}.tmp")
    draft.write_text(json.dumps(asdict(_report, dict_factory=_told)) + "\n")
    draft.replace(path)


def _told(fields: list[tuple[str, object]]) -> dict[str, object]:
    return {name: value for name, value in fields if value is not None}


class ReportCollector:
    """Gauges made from the report at each scrape."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        report = read()
        enabled = GaugeMetricFamily("axion_kernels_enabled", "Kernels that are switched on.", labels=["kernel", "isa"])
        for kernel in report.enabled:
            enabled.add_metric([kernel, report.isa], 1)
        yield enabled
        layers = GaugeMetricFamily("axion_kernels_layers", "Layers of the model on each kernel.", labels=["kernel"])
        for kernel, count in report.layers.items():
            layers.add_metric([kernel], count)
        yield layers
        packed = GaugeMetricFamily("axion_kernels_packed_weights", "How the weights came: 1.", labels=["state"])
        if report.packed is not None:
            packed.add_metric([report.packed.state], 1)
        yield packed
