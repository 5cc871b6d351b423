"""Deploy the models file to one host after another."""

from collections.abc import Sequence

from build.cli.tasking import one_after_another
from build.deploy.deploy import run_build_and_deploy
from build.deploy.models_file import models_files
from build.engine.sources import choose_sources
from build.remote.host import Host


def build_and_deploy(
    hosts: Sequence[Host],
    models: str | None,
    engine: str | None,
    *,
    timeout_s: float,
    mirror: str | None,
    wheels: str | None,
) -> None:
    sources, files = choose_sources(mirror, wheels), models_files(models, hosts)

    def deploy(host: Host) -> None:
        run_build_and_deploy(host, files[host.target.name], timeout_s, sources=sources, engine=engine)

    one_after_another(hosts, deploy)
