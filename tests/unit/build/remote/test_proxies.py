"""Proxy variables of every kind: this computer is never asked through one, and downloads are."""

import asyncio
import http.server
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import httpx
import openai
import pytest
from aiohttp import web

from agent.secrets import read_secret
from build.checkpoints.described import from_hub
from build.cli.first_answer import ask, ask_about, png
from build.errors import DeployError
from build.progress import Reporter
from build.remote import proxies as here
from build.remote.target import Target, local_target
from tests.support.fakes.engine import FakeEngine
from tests.support.fakes.hub import fake_hub
from tests.support.fakes.proxy import Proxy, refusing_proxy
from tests.support.local_deployment import local_deployment
from tests.support.web import free_port
from tests.unit.agent.test_proxy_variables import MALFORMED, NAMES, VALUES
from tests.unit.build.remote.test_job_credentials import Google


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    """A server as the gateway is one, in a loop of its own."""
    port, loop = free_port(), asyncio.new_event_loop()
    runner = web.AppRunner(FakeEngine(name="smollm2", token="Paris ").app())
    loop.run_until_complete(runner.setup())
    loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", port).start())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{port}/v1"
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with refusing_proxy() as proxy:
        yield proxy


@pytest.mark.parametrize(("name", "kind"), list(product(NAMES, VALUES)))
def test_the_first_questions_go_to_this_computer_whatever_is_set(
    name: str, kind: str, gateway: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, VALUES[kind].format(proxy=proxy.address))
    ask(Reporter(), gateway, "Where is the Eiffel tower?")
    assert ask_about(gateway, png((255, 0, 0)), model="smollm2").startswith("Paris")
    assert proxy.asked == []


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "ALL_PROXY"])
def test_a_client_that_nobody_told_asks_the_proxy(
    name: str, gateway: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the test above would see, were the client's trust in the environment not taken away."""
    monkeypatch.setenv(name, f"http://{proxy.address}")
    with pytest.raises(openai.OpenAIError, match="refused"):
        openai.OpenAI(base_url=gateway, api_key="none", max_retries=0).models.list()
    assert proxy.asked == [f"GET {gateway}/models HTTP/1.1".encode()]


@pytest.mark.parametrize("no_proxy", ["", "x.example", "*"])
def test_every_client_of_the_environment_then_asks_this_computer_itself(
    no_proxy: str, gateway: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Httpx, urllib and curl read the variables each in its own way."""
    for name in NAMES:
        monkeypatch.setenv(name, f"http://{proxy.address}")
    monkeypatch.setenv("no_proxy", no_proxy)
    monkeypatch.setenv("NO_PROXY", no_proxy)
    here.keep_direct()
    for host in ("127.0.0.1", "localhost"):
        address = f"{gateway.replace('127.0.0.1', host)}/models"
        assert httpx.get(address).status_code == 200
        with urllib.request.urlopen(address) as answer:  # noqa: S310 - ours
            assert answer.status == 200
        subprocess.run(["curl", "--silent", "--fail", "--output", "/dev/null", address], check=True, timeout=20)
    assert proxy.asked == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["SOCKS", *MALFORMED])
def test_a_hub_is_not_asked_through_what_cannot_be(
    name: str, kind: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, VALUES[kind].format(proxy=proxy.address))
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.example")
    with pytest.raises(DeployError) as caught:
        from_hub("acme/tiny")
    assert str(caught.value).startswith(f"{name}: ")
    assert proxy.asked == []


def test_a_hub_is_asked_through_the_proxy_and_one_on_this_computer_is_not(tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("default_model: first\nmodels:\n  first:\n    weights: {path: first}\n")
    fab = Path(sys.executable).with_name("fab")
    with refusing_proxy() as proxy, fake_hub() as hub:
        for endpoint in ("http://hub.example", hub.url):
            env = {
                **os.environ,
                "HTTP_PROXY": f"http://{proxy.address}",
                "HF_ENDPOINT": endpoint,
                "AXION_MODELS": str(file),
            }
            words = (str(fab), "models-add", "acme/tiny")
            said = subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False).stderr
            assert "Traceback" not in said
        assert proxy.asked == [b"GET http://hub.example/api/models/acme/tiny/revision/main?blobs=true HTTP/1.1"]
        assert [path.partition("?")[0] for _, path, _ in hub.requests] == ["/api/models/acme/tiny/revision/main"]


def test_the_metadata_server_is_the_machines_own(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, f"http://{proxy.address}")
    with serving(Google) as url:
        assert read_secret("projects/p/secrets/s", metadata=url, secret_manager=url) == "planted"
    assert proxy.asked == []


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_deployment_asks_and_starts_all_without_a_proxy(
    tmp_path: Path, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_deployment(tmp_path) as host:
        for name in NAMES:
            monkeypatch.setenv(
                name, f"socks5://{proxy.address}" if "all" in name.lower() else f"http://{proxy.address}"
            )
        host.deploy()
        assert host.answers()
        assert [each["verdict"] for each in host.json("verify")] == ["pass"] * 4
        environments = [Path(f"/proc/{each.pid}/environ").read_bytes().lower() for each in host.processes()]
        assert len(environments) > 4
        assert [each for each in environments if b"_proxy=" in each] == []
    assert proxy.asked == []


def test_the_doctor_says_what_is_honoured_and_what_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (here.checks(), here.without_proxy()) == ([], "")
    monkeypatch.setenv("HTTPS_PROXY", "http://me:s3cret@p:1")
    (said,) = here.checks()
    assert said.finding == "downloads honour HTTPS_PROXY; this computer itself is asked without"
    assert (said.verdict, here.without_proxy()) == ("pass", " --noproxy '*'")
    monkeypatch.setenv("HTTPS_PROXY", "socks5://p:1")
    assert [each.verdict for each in here.checks()] == ["fail"]


def test_another_hosts_downloads_are_not_this_computers_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://p:1")
    there = Target(name="main", root="/opt/axion", runner="systemd", python="p", user="axion")
    assert (len(here.download_problems(local_target())), here.download_problems(there)) == (1, [])
