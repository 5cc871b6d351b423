"""What a stack tells: the inventory for `fab`, the price, and the commands to run next."""

from collections.abc import Mapping
from typing import Any, TypedDict

import pulumi

from deployment.models import DEFAULT_MODELS
from deployment.stack.guardrails import HOST_ROOT, CheckedStack
from deployment.stack.inventory import SCHEMA, inventory_from
from deployment.stack.pricing import NOT_COUNTED
from infra.host import AxionHost
from infra.secrets import Secrets
from infra.startup import DATA_PATH


def inventory(
    checked: CheckedStack, hosts: Mapping[str, AxionHost], secrets: Secrets, bucket: pulumi.Output[str] | None
) -> pulumi.Output[dict[str, Any]]:
    """Return the inventory as plain data, once the cloud has given every address."""
    live = {
        name: {
            "name": host.instance_name,
            "instance_id": host.instance_id,
            "internal_ip": host.internal_ip,
            "external_ip": host.external_ip,
        }
        for name, host in hosts.items()
    }
    return pulumi.Output.all(hosts=live, secrets=dict(secrets.ids), bucket=bucket).apply(
        lambda known: _inventory(checked, known)
    )


def _inventory(checked: CheckedStack, known: Mapping[str, Any]) -> dict[str, Any]:
    settings = checked.settings
    hosts = {
        name: {
            "kind": "google",
            **known["hosts"][name],
            "zone": settings.zone_of(name),
            "machine_type": host.machine_type,
            "device_paths": {"data": DATA_PATH},
            "data_mount": HOST_ROOT,
            "gateway_clients": [
                *settings.network.gateway_cidrs,
                *(host.public_ip.allow_cidrs if host.public_ip else ()),
            ],
            "gateway_keys": known["secrets"]["gateway-api-keys"] if settings.gateway_api_keys else None,
            "models": None if host.models == DEFAULT_MODELS else host.models,
        }
        for name, host in settings.hosts.items()
    }
    secrets = known["secrets"]
    google = {
        "project": settings.project,
        "zone": settings.zone,
        "secret_ids": {"gateway_api_keys": secrets["gateway-api-keys"], "hub_token": secrets.get("hub-token")},
        "bucket": known["bucket"],
    }
    data = {"schema": SCHEMA, "stack": checked.stack, "google": google, "hosts": hosts}
    # In a preview an address may not be there yet.
    return data if pulumi.runtime.is_dry_run() else inventory_from(data).as_data()


class Monthly(TypedDict):
    """USD a month."""

    total: float | None
    whileStopped: float | None
    terms: dict[str, float | None]
    notCounted: str


class Price(TypedDict):
    """The stack output `price`, in USD."""

    hourlyUsd: float | None
    monthlyUsd: Monthly


def price(checked: CheckedStack) -> Price:
    """Return the price an hour, a month, and by term. An unknown term is null, and so is a sum that has one."""
    bill = checked.bill
    return {
        "hourlyUsd": _rounded(bill.hourly_usd, 4),
        "monthlyUsd": {
            "total": _rounded(bill.monthly_usd, 2),
            "whileStopped": _rounded(bill.stopped_monthly_usd, 2),
            "terms": {term.what: _rounded(term.monthly_usd, 2) for term in bill.terms},
            "notCounted": NOT_COUNTED,
        },
    }


def next_commands(checked: CheckedStack) -> list[str]:
    """Return what to type next, in order."""
    settings = checked.settings
    connect = [
        f"gcloud compute ssh axion-{checked.stack}-{name} --tunnel-through-iap --project={settings.project} "
        f"--zone={settings.zone_of(name)} -- -N -L 8080:localhost:8080"
        for name in settings.hosts
    ]
    return [
        f"fab doctor --stack {checked.stack}",
        f"fab build-and-deploy --stack {checked.stack}",
        *connect,
        f"fab census --stack {checked.stack}",
    ]


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
