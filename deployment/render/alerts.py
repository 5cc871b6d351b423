"""When somebody should look, as Prometheus' rules over what the gateway and vLLM 0.32 expose."""

from dataclasses import dataclass
from typing import Literal

STEPS = "vllm:iteration_tokens_total_count"
SLOW_ANSWER_S = 30
"""For a first token: half of what most load balancers wait."""
SLOW_QUEUE_S = 10
EXPIRES_SOON_S = 14 * 86400
"""As `fab doctor` warns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One rule. Its texts end in what to do."""

    name: str
    expr: str
    lasts: str
    severity: Literal["page", "ticket"]
    summary: str
    description: str


def _p95(histogram: str) -> str:
    return f"histogram_quantile(0.95, sum by (stack, host, model, le) (rate({histogram}_bucket[10m])))"


ALERTS = (
    Alert(
        name="AxionHostDown",
        expr='up{job=~"axion-.+"} == 0',
        lasts="2m",
        severity="page",
        summary="The gateway of {{ $labels.host }} does not answer.",
        description="Run `fab status`, then `fab logs gateway`.",
    ),
    Alert(
        name="AxionModelNotReady",
        # A model on demand that sleeps is as it should be.
        expr=(
            'gateway_upstream_state{state="ready"} == 0 '
            'unless on (stack, host, model) gateway_upstream_state{state=~"stopped|stopping"} == 1'
        ),
        lasts="15m",
        severity="page",
        summary="{{ $labels.model }} on {{ $labels.host }} has not been ready for 15 minutes.",
        description="Longer than the largest model loads. Run `fab logs {{ $labels.model }}`.",
    ),
    Alert(
        name="AxionEngineStalled",
        expr=(
            "sum by (stack, host, model) (vllm:num_requests_running + vllm:num_requests_waiting) > 0 "
            f"and sum by (stack, host, model) (increase({STEPS}[3m])) == 0"
        ),
        lasts="2m",
        severity="page",
        summary="{{ $labels.model }} on {{ $labels.host }} has requests and finishes no step.",
        description="Its watchdog restarts it; if this repeats, run `fab logs {{ $labels.model }}`.",
    ),
    Alert(
        name="AxionServerErrors",
        expr=(
            'sum by (stack, host, model) (rate(gateway_requests_total{status_class="5xx"}[5m])) '
            "> 0.05 * sum by (stack, host, model) (rate(gateway_requests_total[5m]))"
        ),
        lasts="5m",
        severity="page",
        summary="More than 5 % of the requests for {{ $labels.model }} on {{ $labels.host }} fail.",
        description="The gateway's log names each error: `fab logs gateway`.",
    ),
    Alert(
        name="AxionStreamsBreak",
        expr="sum by (stack, host, model) (increase(gateway_stream_interrupted_total[15m])) > 2",
        lasts="",
        severity="ticket",
        summary="Answers of {{ $labels.model }} on {{ $labels.host }} break off.",
        description="Its engine ends, or a limit of time is too short: `fab logs gateway`.",
    ),
    Alert(
        name="AxionFirstTokenSlow",
        expr=f"{_p95('vllm:time_to_first_token_seconds')} > {SLOW_ANSWER_S}",
        lasts="10m",
        severity="ticket",
        summary="{{ $labels.model }} on {{ $labels.host }}: 5 % wait over 30 s for the first token.",
        description="Prompts are longer, or requests more, than its cores read. Give it cores, or fewer requests.",
    ),
    Alert(
        name="AxionQueueLong",
        expr=f"{_p95('vllm:request_queue_time_seconds')} > {SLOW_QUEUE_S}",
        lasts="10m",
        severity="ticket",
        summary="{{ $labels.model }} on {{ $labels.host }}: 5 % wait over 10 s in the engine's queue.",
        description="More requests than max_num_seqs or the KV cache admit.",
    ),
    Alert(
        name="AxionCacheFull",
        expr="vllm:kv_cache_usage_perc > 0.95 and rate(vllm:num_preemptions_total[10m]) > 0",
        lasts="10m",
        severity="ticket",
        summary="The KV cache of {{ $labels.model }} on {{ $labels.host }} is full, and requests are computed twice.",
        description="Raise kv_cache_memory_bytes, or lower max_num_seqs. `fab plan` shows what there is room for.",
    ),
    Alert(
        name="AxionEngineSilent",
        expr='gateway_engine_scraped == 0 and on (stack, host, model) gateway_upstream_state{state="ready"} == 1',
        lasts="5m",
        severity="ticket",
        summary="{{ $labels.model }} on {{ $labels.host }} serves, and says nothing of itself.",
        description="Other alerts about it cannot fire meanwhile. Run `fab logs {{ $labels.model }}`.",
    ),
    Alert(
        name="AxionCertificateEnds",
        expr=f"gateway_certificate_expiry_timestamp_seconds - time() < {EXPIRES_SOON_S}",
        lasts="10m",
        severity="ticket",
        summary="The certificate of {{ $labels.host }} expires in {{ $value | humanizeDuration }}.",
        description="Renew it, and run `systemctl reload gateway` there.",
    ),
)
