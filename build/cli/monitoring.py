"""The task that writes what Prometheus and Grafana need to watch hosts. It connects to no host."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.durable import replace_file
from build.cli import output
from build.deploy.models_file import models_files
from build.errors import DeployError
from build.remote.host import Host
from build.remote.target import REPOSITORY, expanded
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.render.monitoring import ScrapeTarget, monitoring_files, scrape_target

DEFAULT_OUT = REPOSITORY / "out" / "monitoring"


def monitoring(hosts: Sequence[Host], models: str | None, out: str | None) -> None:
    directory = DEFAULT_OUT if out is None else expanded(out)
    files = models_files(models, hosts)
    targets = _targets(hosts, files)
    written = [
        (directory / file.path, file.text) for file in monitoring_files(hosts[0].target.stack or "local", targets)
    ]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, text in written:
            replace_file(path, text, mode=0o644)
    except OSError as error:
        why = f"{directory}: cannot be written: {error.strerror or error}"
        raise DeployError(f"--out: {why}. Name a directory that you may write.") from None
    console = output.stdout()
    for path, _ in written:
        console.print(str(path), markup=False, soft_wrap=True)
    for each in targets:
        console.print(_said(each, directory), style="dim", markup=False, soft_wrap=True)


def _targets(hosts: Sequence[Host], files: Mapping[str, Path]) -> list[ScrapeTarget]:
    """Raises ConfigError with the mistakes of every models file."""
    found: list[ScrapeTarget] = []
    problems: list[str] = []
    for host in hosts:
        try:
            found.append(_target(host, files[host.target.name]))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(list(dict.fromkeys(problems)))
    return found


def _target(host: Host, file: Path) -> ScrapeTarget:
    target = host.target
    gateway = load_deployment(file).gateway
    name = "local" if target.is_here else target.name
    has_tls = gateway.tls is not None
    return scrape_target(name, gateway.listen, target.address, has_keys=target.keys is not None, has_tls=has_tls)


def _said(target: ScrapeTarget, directory: Path) -> str:
    where = f"{target.host}: {target.address}"
    if target.is_loopback:
        return f"{where}: for programs on that host only. Run Prometheus there, or let `gateway: listen:` name more."
    if target.has_keys:
        return f"{where}: asks for a key. Write one of yours into {directory / 'gateway-key'}."
    return where
