"""What Prometheus scrapes. Every label value comes from the configuration or from our own tables."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.probe import State
from gateway.stats import Stats
from gateway.upstream import Upstream

LATENCY_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""From a refusal to a long answer of a large model on a CPU."""


class Metrics:
    """One set of metrics of one gateway, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        self.cancelled = Counter(
            "gateway_cancelled_total", "Requests whose client left first.", by_route, registry=self.registry
        )
        self.interrupted = Counter(
            "gateway_stream_interrupted_total",
            "Answers that broke off after they had begun.",
            by_route,
            registry=self.registry,
        )
        self.held_total = Counter(
            "gateway_held_total",
            "Requests that waited for an engine being restarted.",
            ("model",),
            registry=self.registry,
        )
        self._held = Gauge(
            "gateway_waiting", "Requests waiting for an engine being restarted.", ("model",), registry=self.registry
        )
        self._in_flight = Gauge("gateway_in_flight", "Requests being worked on.", ("model",), registry=self.registry)
        self._state = Gauge(
            "gateway_upstream_state",
            "1 for the state that an engine is in.",
            ("model", "state"),
            registry=self.registry,
        )

    def count(self, model: str, route: str, status: int, duration_s: float, ttfb_s: float | None) -> None:
        """Count one finished request."""
        self._requests.labels(model, route, f"{status // 100}xx").inc()
        self._seconds.labels(model, route).observe(duration_s)
        if ttfb_s is not None:
            self._first_byte_seconds.labels(model, route).observe(ttfb_s)

    def exposition(self, upstreams: Iterable[Upstream], stats: Stats) -> bytes:
        """Return everything in Prometheus' text format, gauges as of now."""
        self._in_flight.clear()
        self._held.clear()
        self._state.clear()
        for upstream in upstreams:
            for state in State:
                self._state.labels(upstream.name, state.value).set(state is upstream.state)
            self._in_flight.labels(upstream.name).set(stats.of(upstream.name).in_flight)
            self._held.labels(upstream.name).set(stats.of(upstream.name).held)
        return generate_latest(self.registry)
