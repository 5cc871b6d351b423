"""What is counted about requests, each in one place: /metrics shows it to Prometheus, /stats to people.

Every label value comes from the configuration or from our own tables.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import TypeVar, cast

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from agent.running import ModelStats, Percentiles
from gateway.kernels import kernels_of
from gateway.on_demand import Order, Phase, Roster
from gateway.probe import State
from gateway.request_context import RequestContext, RequestsInFlight
from gateway.routes import QUIET_ROUTES, UNKNOWN
from gateway.upstream import Upstream

REFUSALS = frozenset({"queue_full", "queue_timeout", "timeout_too_short"})
"""The errors of requests that the engine was too busy for."""
LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""From a refusal to a long answer of a large model on a CPU."""
Labelled = TypeVar("Labelled", Counter, Histogram)
WINDOW = 1024
"""Requests that the percentiles look back on."""


def _window() -> deque[float]:
    return deque(maxlen=WINDOW)


@dataclass(slots=True)
class Unexported:
    """What only /stats shows of one served model since the process started; it outlives a reload."""

    errors: int = 0
    events: int = 0
    size: int = 0
    latencies_s: deque[float] = field(default_factory=_window)
    first_bytes_s: deque[float] = field(default_factory=_window)

    def count(self, context: RequestContext) -> None:
        """Add one finished request."""
        is_error = context.status >= 400 and not context.is_cancelled
        self.errors += is_error
        self.events += 0 if context.events is None else context.events.events
        self.size += context.bytes_sent
        if not (is_error or context.is_cancelled):  # a refusal in a millisecond would flatter the model
            self.latencies_s.append(context.duration_s)
            if context.ttfb_s is not None:
                self.first_bytes_s.append(context.ttfb_s)


class Metrics:
    """One set of metrics of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._labelled: dict[tuple[object, tuple[str, ...]], Counter | Histogram] = {}
        self._unexported: defaultdict[str, Unexported] = defaultdict(Unexported)
        by_route = ("model", "route")
        self._requests = Counter(
            "gateway_requests_total",
            "Requests answered, by status class.",
            (*by_route, "status_class"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "gateway_request_seconds",
            "From a request's head to the end of its answer.",
            by_route,
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._first_byte_seconds = Histogram(
            "gateway_time_to_first_byte_seconds",
            "From a request's head to the first byte of its answer.",
            by_route,
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self._cancelled = Counter(
            "gateway_cancelled_total", "Requests whose client left first.", by_route, registry=self.registry
        )
        self._interrupted = Counter(
            "gateway_stream_interrupted_total",
            "Answers that broke off after they had begun.",
            by_route,
            registry=self.registry,
        )
        self._refused = Counter(
            "gateway_refused_total",
            "Requests refused because the engine was too busy.",
            ("model", "reason"),
            registry=self.registry,
        )
        self._held_total = Counter(
            "gateway_held_total",
            "Requests that waited for an engine being restarted.",
            ("model",),
            registry=self.registry,
        )
        self._waiting = self._gauge("waiting", "Requests waiting for their turn at an engine, or for its restart.")
        self._running = self._gauge("running", "Requests that have a place at their engine.")
        self._in_flight = self._gauge("in_flight", "Requests being worked on.")
        self._state = self._gauge("upstream_state", "1 for the state that an engine is in.", "state")
        self._scraped = self._gauge("engine_scraped", "1 where an engine's own metrics are here too.")
        self.spans_lost = Counter(
            "gateway_spans_lost_total", "Spans of requests that no collector took.", registry=self.registry
        )
        self._add_on_demand()

    def _add_on_demand(self) -> None:
        self._orders = Counter(
            "gateway_on_demand_total",
            "Models on demand that were started or stopped, and why.",
            ("model", "do", "why"),
            registry=self.registry,
        )
        self._memory = Gauge(
            "gateway_on_demand_memory_bytes",
            "Memory of the models on demand that are loaded, and what all of them may take.",
            ("of",),
            registry=self.registry,
        )

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(f"gateway_{name}", meaning, ("model", *labels), registry=self.registry)

    def watch_certificate(self, ends_s: Callable[[], float]) -> None:
        """Say when the certificate that is shown expires. Without TLS there is no such metric."""
        Gauge(
            "gateway_certificate_expiry_timestamp_seconds",
            "When the certificate that clients are shown expires, in seconds since 1970.",
            registry=self.registry,
        ).set_function(ends_s)

    def count(self, context: RequestContext) -> None:
        """Count one finished request."""
        if context.route in QUIET_ROUTES:
            return
        labels = (context.model or UNKNOWN, context.route)
        self._of(self._requests, *labels, f"{context.status // 100}xx").inc()
        self._of(self._seconds, *labels).observe(context.duration_s)
        if context.ttfb_s is not None:
            self._of(self._first_byte_seconds, *labels).observe(context.ttfb_s)
        if context.is_cancelled:
            self._cancelled.labels(*labels).inc()
        if context.is_interrupted:
            self._interrupted.labels(*labels).inc()
        if context.error in REFUSALS:
            self._refused.labels(labels[0], context.error).inc()
        if context.model is not None:
            self._unexported[context.model].count(context)

    def _of(self, family: Labelled, *labels: str) -> Labelled:
        """Return a metric with its labels, which prometheus_client looks up four times as long."""
        try:
            return cast(Labelled, self._labelled[family, labels])
        except KeyError:
            return cast(Labelled, self._labelled.setdefault((family, labels), family.labels(*labels)))

    def count_held(self, model: str) -> None:
        """Count a request that begins to wait for an engine being restarted."""
        self._held_total.labels(model).inc()

    def count_order(self, order: Order) -> None:
        """Count a start or a stop of a model on demand."""
        self._orders.labels(order.name, order.do, order.why).inc()

    def stats(self, upstream: Upstream, requests: RequestsInFlight) -> ModelStats:
        """Return what /stats shows of a served model. Call it in the event loop."""
        model = upstream.name
        more = self._unexported[model]
        return ModelStats(
            state=upstream.told_state,
            unloadable=upstream.is_on_demand and upstream.state is State.READY,
            since=round(time.time() - upstream.lasted_s(), 3),
            last_error=upstream.last_error,
            in_flight=requests.of(model),
            requests_total=total(self._requests, model),
            errors_total=more.errors,
            cancelled_total=total(self._cancelled, model),
            interrupted_total=total(self._interrupted, model),
            held=upstream.waiting if upstream.is_restarting else 0,
            held_total=total(self._held_total, model),
            running=upstream.admission.running,
            waiting=upstream.waiting,
            refused_total=total(self._refused, model),
            streamed_events_total=more.events,
            sent_bytes_total=more.size,
            latency_s=_percentiles(more.latencies_s),
            time_to_first_byte_s=_percentiles(more.first_bytes_s),
            kernels=kernels_of(upstream.socket),
        )

    def exposition(
        self, upstreams: Iterable[Upstream], requests: RequestsInFlight, scraped: Container[str], roster: Roster
    ) -> str:
        """Return what is counted here in Prometheus' text format, gauges as of now."""
        for gauge in (self._in_flight, self._running, self._waiting, self._state, self._scraped):
            gauge.clear()
        if roster.residents:
            self._memory.labels("loaded").set(roster.used_bytes)
            self._memory.labels("budget").set(roster.budget_bytes)
        for upstream in upstreams:
            for state in (*State, *((Phase.STOPPED, Phase.STOPPING) if upstream.is_on_demand else ())):
                self._state.labels(upstream.name, state.value).set(state.value == upstream.told_state)
            self._in_flight.labels(upstream.name).set(requests.of(upstream.name))
            self._running.labels(upstream.name).set(upstream.admission.running)
            self._waiting.labels(upstream.name).set(upstream.waiting)
            self._scraped.labels(upstream.name).set(upstream.name in scraped)
        return generate_latest(self.registry).decode()


def percentile(values: Iterable[float], percent: int) -> float | None:
    """Return the nearest-rank percentile, None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[-(-len(ordered) * percent // 100) - 1]


def _percentiles(values: Iterable[float]) -> Percentiles:
    return Percentiles(p50=percentile(values, 50), p95=percentile(values, 95))


def total(counter: Counter, model: str) -> int:
    """Add up what a counter has of one model, whatever else it tells apart."""
    samples = (sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total"))
    return int(sum(sample.value for sample in samples if sample.labels["model"] == model))
