"""What the dashboard shows of each model: Grafana's panels over what the gateway and vLLM 0.32 expose."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypedDict

WHICH = '{host=~"$host", model=~"$model"}'
EACH = "{{host}} {{model}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One graph. `unit` is Grafana's name of it."""

    title: str
    description: str
    unit: str
    expr: str
    legend: str = EACH


def _rate(counter: str, by: str = "host, model") -> str:
    return f"sum by ({by}) (rate({counter}{WHICH}[$__rate_interval]))"


def _p95(histogram: str) -> str:
    return f"histogram_quantile(0.95, {_rate(f'{histogram}_bucket', 'host, model, le')})"


PANELS = (
    Panel(
        title="Tokens a second",
        description="Generated, all requests of a model together.",
        unit="short",
        expr=_rate("vllm:generation_tokens_total"),
    ),
    Panel(
        title="Prompt tokens a second",
        description="Read, without what the prefix cache had.",
        unit="short",
        expr=_rate("vllm:prompt_tokens_total"),
    ),
    Panel(
        title="Requests a second, by class of status",
        description="Answered by the gateway.",
        unit="reqps",
        expr=_rate("gateway_requests_total", "model, status_class"),
        legend="{{model}} {{status_class}}",
    ),
    Panel(
        title="Time to first token, 95th percentile",
        description="Within the engine: its queue and the prompt.",
        unit="s",
        expr=_p95("vllm:time_to_first_token_seconds"),
    ),
    Panel(
        title="Time between tokens, 95th percentile",
        description="What a reader of a stream feels.",
        unit="s",
        expr=_p95("vllm:inter_token_latency_seconds"),
    ),
    Panel(
        title="Time in the engine's queue, 95th percentile",
        description="Until a request is computed for the first time.",
        unit="s",
        expr=_p95("vllm:request_queue_time_seconds"),
    ),
    Panel(
        title="Running",
        description="Requests in the engine's batch.",
        unit="short",
        expr=f"vllm:num_requests_running{WHICH}",
    ),
    Panel(
        title="Waiting",
        description="Requests that the engine has accepted and not begun.",
        unit="short",
        expr=f"vllm:num_requests_waiting{WHICH}",
    ),
    Panel(
        title="KV cache in use",
        description="Full, it makes requests wait, or be computed twice.",
        unit="percentunit",
        expr=f"vllm:kv_cache_usage_perc{WHICH}",
    ),
    Panel(
        title="Prefix cache hits",
        description="Part of the prompt tokens that needed no computing.",
        unit="percentunit",
        expr=f"{_rate('vllm:prefix_cache_hits_total')} / {_rate('vllm:prefix_cache_queries_total')}",
    ),
    Panel(
        title="Answers that broke off, in ten minutes",
        description="After they had begun.",
        unit="short",
        expr=f"sum by (host, model) (increase(gateway_stream_interrupted_total{WHICH}[10m]))",
    ),
    Panel(
        title="Ready",
        description="1 where a model can be asked.",
        unit="short",
        expr='gateway_upstream_state{state="ready", host=~"$host", model=~"$model"}',
    ),
)


COLUMNS, WIDTH, HEIGHT = 3, 8, 8
"""Grafana's grid is 24 wide."""
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Grid(TypedDict):
    """Where a panel stands."""

    x: int
    y: int
    w: int
    h: int


class Query(TypedDict):
    """A line of a panel for each series."""

    refId: str
    expr: str
    legendFormat: str


class TimeSeries(TypedDict):
    """A panel, as Grafana calls its parts."""

    id: int
    type: Literal["timeseries"]
    title: str
    description: str
    datasource: Mapping[str, str]
    gridPos: Grid
    fieldConfig: Mapping[str, object]
    targets: list[Query]


class Variable(TypedDict):
    """A choice above the panels."""

    name: str
    type: Literal["query"]
    datasource: Mapping[str, str]
    query: str
    refresh: int
    includeAll: bool
    multi: bool
    current: Mapping[str, str]


def dashboard() -> str:
    """Return the dashboard as Grafana imports it (schema version 39)."""
    sources = {"name": "datasource", "type": "datasource", "query": "prometheus"}
    variables = [_variable("host", 'up{job=~"axion-.+"}'), _variable("model", 'gateway_in_flight{host=~"$host"}')]
    return json.dumps(
        {
            "uid": "axion",
            "title": "axion: models and hosts",
            "schemaVersion": 39,
            "refresh": "30s",
            "time": {"from": "now-1h", "to": "now"},
            "templating": {"list": [sources, *variables]},
            "panels": [_drawn(number, panel) for number, panel in enumerate(PANELS)],
        },
        indent=1,
    )


def _variable(label: str, source: str) -> Variable:
    """Every value that a label has."""
    return {
        "name": label,
        "type": "query",
        "datasource": SOURCE,
        "query": f"label_values({source}, {label})",
        "refresh": 2,
        "includeAll": True,
        "multi": True,
        "current": {"text": "All", "value": "$__all"},
    }


def _drawn(number: int, panel: Panel) -> TimeSeries:
    row, column = divmod(number, COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [{"refId": "A", "expr": panel.expr, "legendFormat": panel.legend}],
    }
