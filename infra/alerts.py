"""Who hears, by e-mail, that a host is gone, full, short of memory, or paid for and not used."""

from dataclasses import dataclass

import pulumi
from pulumi_gcp import monitoring

from infra.naming import Naming, owned_by

# What agent/host_metrics.py reports, under the name that PromQL gives it.
REPORTED = "custom_googleapis_com:axion_"
UPTIME = "compute_googleapis_com:instance_uptime_total"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One reason to write: a PromQL expression that holds for a while."""

    name: str
    title: str
    query: str
    minutes: int
    advice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertsArgs:
    """What alerts need to know."""

    naming: Naming
    email: str
    always_on: tuple[str, ...]
    """Hosts that should never be gone."""


class Alerts(pulumi.ComponentResource):
    """A channel to one address, and a policy for each alert."""

    channel: pulumi.Output[str]

    def __init__(self, name: str, args: AlertsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("axion:infra:Alerts", name, None, opts)
        labels = args.naming.labelled("alerts")
        channel = monitoring.NotificationChannel(
            f"{name}-email",
            display_name=args.naming.name("email"),
            type="email",
            labels={"email_address": args.email},
            user_labels=labels,
            opts=owned_by(self),
        )
        self.channel = channel.name
        for alert in alerts(args.naming, args.always_on):
            monitoring.AlertPolicy(
                f"{name}-{alert.name}",
                display_name=args.naming.name(alert.name),
                combiner="OR",
                conditions=[_condition(alert)],
                notification_channels=[self.channel],
                documentation=monitoring.AlertPolicyDocumentationArgs(content=alert.advice, mime_type="text/markdown"),
                user_labels=labels,
                opts=owned_by(self),
            )
        self.register_outputs({"channel": self.channel})


def alerts(naming: Naming, always_on: tuple[str, ...]) -> list[Alert]:
    """Every alert of a stack."""
    ours = f'{{monitored_resource="gce_instance",stack="{naming.stack}"}}'
    found = [
        Alert(
            name="disk-full",
            title="the data disk is 90 % full",
            query=f"{REPORTED}data_disk_used_ratio{ours} > 0.9",
            minutes=10,
            advice="Raise dataDiskGib and run `pulumi up`; the file system grows at the next boot. Or `fab releases`.",
        ),
        Alert(
            name="memory-pressure",
            title="95 % of memory is used",
            query=f"{REPORTED}memory_used_ratio{ours} > 0.95",
            minutes=10,
            advice="See `fab status`; lower kv_cache_memory_bytes of a model, or take a larger machineType.",
        ),
        Alert(
            name="idle",
            title="nobody has used the host for two hours",
            query=f"{REPORTED}idle_minutes{ours} > 120",
            minutes=5,
            advice="It costs money all the same. Set idleStopMinutes, or stop it: `gcloud compute instances stop`.",
        ),
    ]
    for host in always_on:
        instance = naming.name(host)
        found.append(
            Alert(
                name=f"down-{host}",
                title=f"{instance} has not run for ten minutes",
                query=f'absent_over_time({UPTIME}{{monitored_resource="gce_instance",instance_name="{instance}"}}[10m])',
                minutes=1,
                advice=f"See `fab doctor --stack {naming.stack}`, then `gcloud compute instances start {instance}`.",
            )
        )
    return found


def _condition(alert: Alert) -> monitoring.AlertPolicyConditionArgs:
    promql = monitoring.AlertPolicyConditionConditionPrometheusQueryLanguageArgs(
        query=alert.query,
        duration=f"{alert.minutes * 60}s",
        evaluation_interval="60s",
        # The first host reports the metrics into being, after this policy is made.
        disable_metric_validation=True,
    )
    return monitoring.AlertPolicyConditionArgs(display_name=alert.title, condition_prometheus_query_language=promql)
