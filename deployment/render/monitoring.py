"""Files for somebody's own Prometheus and Grafana: whom to ask, when to alert, what to show."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from ipaddress import ip_address

from deployment.render.alerts import ALERTS
from deployment.render.dashboard import dashboard
from deployment.render.files import render_template
from deployment.render.release import RenderedFile


@dataclass(frozen=True, slots=True, kw_only=True)
class ScrapeTarget:
    """A host's gateway, as Prometheus reaches it."""

    host: str
    address: str
    """host:port."""
    has_keys: bool
    is_loopback: bool
    """Whether only the host itself reaches it."""
    has_tls: bool = False


def scrape_target(
    host: str, listen: Sequence[str], reached_at: str | None, *, has_keys: bool, has_tls: bool = False
) -> ScrapeTarget:
    """Choose among the addresses that a gateway listens on: one that others reach, where there is one.

    `reached_at` is where a host that listens on all of its addresses is found.
    """
    addresses = [each.rpartition(":")[::2] for each in listen]
    outside = [(name, port) for name, port in addresses if not _is_loopback(name)]
    name, port = (outside or addresses)[0]
    if name in ("0.0.0.0", "[::]"):  # noqa: S104 - compared
        name = reached_at or "127.0.0.1"
    is_loopback = _is_loopback(name)
    return ScrapeTarget(
        host=host,
        address=f"{name}:{port}",
        has_keys=has_keys and not is_loopback,
        is_loopback=is_loopback,
        has_tls=has_tls and bool(outside),
    )


def monitoring_files(stack: str, targets: Sequence[ScrapeTarget]) -> list[RenderedFile]:
    """Render prometheus.yml, alerts.yml and dashboard.json."""
    values: dict[str, dict[str, object]] = {
        "prometheus.yml": {"stack": stack, "targets": [asdict(each) for each in targets]},
        "alerts.yml": {"alerts": [asdict(each) for each in ALERTS]},
    }
    return [
        *(
            RenderedFile(path=name, text=render_template(f"monitoring/{name}.j2", each))
            for name, each in values.items()
        ),
        RenderedFile(path="dashboard.json", text=dashboard() + "\n"),
    ]


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False
