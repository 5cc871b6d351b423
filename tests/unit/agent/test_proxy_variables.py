"""Proxy variables as data: what is kept from them, what is wrong with them, and those of a host."""

import subprocess
import sys
from itertools import product
from pathlib import Path

import pytest

from agent import proxies

NAMES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
DEAD = "127.0.0.1:1"
VALUES = {
    "a proxy": "http://{proxy}",
    "without a scheme": "{proxy}",
    "over TLS": "https://{proxy}",
    "with a password": "http://me:secret@{proxy}/",
    "dead": f"http://{DEAD}",
    "SOCKS": "socks5://{proxy}",
    "SOCKS with names": "socks5h://{proxy}",
    "SOCKS as desktops write it": "socks://{proxy}/",
    "no port": "http://proxy:port",
    "port of no kind": "http://127.0.0.1:99999",
    "no host": "http://",
    "another scheme": "ftp://{proxy}",
    "brackets": "http://[::1",
    "garbage": "not a proxy",
    "empty": "",
}
MALFORMED = ("no port", "port of no kind", "no host", "another scheme", "brackets", "garbage")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "localhost,127.0.0.1,::1,metadata.google.internal,169.254.169.254"),
        (
            {"no_proxy": "a.example, .b"},
            "a.example,.b,localhost,127.0.0.1,::1,metadata.google.internal,169.254.169.254",
        ),
        ({"NO_PROXY": "localhost"}, "localhost,127.0.0.1,::1,metadata.google.internal,169.254.169.254"),
        ({"no_proxy": "a", "NO_PROXY": "b"}, "a,b,localhost,127.0.0.1,::1,metadata.google.internal,169.254.169.254"),
        ({"no_proxy": "*"}, "*"),
        ({"NO_PROXY": "a,*"}, "*"),
        ({"no_proxy": ""}, "localhost,127.0.0.1,::1,metadata.google.internal,169.254.169.254"),
    ],
)
def test_what_is_asked_directly_is_kept_and_more(given: dict[str, str], told: str) -> None:
    environment = {"HTTPS_PROXY": "http://p:1", **given}
    here_and_now = dict(environment)
    proxies.keep_direct(environment)
    assert environment == {**here_and_now, "no_proxy": told, "NO_PROXY": told}


def test_without_a_proxy_nothing_is_touched() -> None:
    environment = {"no_proxy": "a", "http_proxy": " "}
    proxies.keep_direct(environment)
    assert environment == {"no_proxy": "a", "http_proxy": " "}


def test_a_socks_proxy_beside_both_others_is_nobodys() -> None:
    environment = {
        "http_proxy": "http://p:1",
        "HTTPS_PROXY": "http://p:1",
        "ALL_PROXY": "socks://p:1/",
        "all_proxy": "x",
    }
    proxies.keep_direct(environment)
    assert not {"ALL_PROXY", "all_proxy"} & environment.keys()
    assert proxies.problems(environment) == []


@pytest.mark.parametrize(("name", "kind"), list(product(NAMES, VALUES)))
def test_what_no_download_can_go_through_is_said_in_a_sentence(name: str, kind: str) -> None:
    value = VALUES[kind].format(proxy="proxy.example:3128")
    found = proxies.problems({name: value})
    step = "Give an HTTP proxy such as http://proxy.example:3128, or unset it."
    if kind.startswith("SOCKS"):
        assert found == [f"{name}: downloads cannot go through SOCKS, got {value}. {step}"]
    elif kind in MALFORMED:
        assert found == [f"{name}: not a proxy's address, got {value}. {step}"]
    else:
        assert found == []


def test_a_password_is_told_to_nobody() -> None:
    (said,) = proxies.problems({"HTTPS_PROXY": "socks5://me:s3cret@p:1"})
    assert "got socks5://***@p:1." in said


HOSTS_OWN = """\
PATH="/usr/bin"
http_proxy="http://proxy.example:3128"
export HTTPS_PROXY=http://proxy.example:3128
  no_proxy='internal.example'
#all_proxy=http://commented.example
ftp_proxy=http://other.example
"""


def test_long_work_on_a_host_has_the_proxies_of_that_host(tmp_path: Path) -> None:
    file = tmp_path / "environment"
    file.write_text(HOSTS_OWN)
    code = (
        "import os, sys; from pathlib import Path; from agent.proxies import settle; settle(Path(sys.argv[1]));"
        "print({k: v for k, v in os.environ.items() if 'proxy' in k.lower()})"
    )
    argv, root = [sys.executable, "-c", code, str(file)], Path(__file__).parents[3]
    told = subprocess.run(argv, capture_output=True, check=True, env={}, cwd=root).stdout
    direct = "internal.example,localhost,127.0.0.1,::1,metadata.google.internal,169.254.169.254"
    assert eval(told) == {  # noqa: S307 - our own words
        "http_proxy": "http://proxy.example:3128",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "no_proxy": direct,
        "NO_PROXY": direct,
    }
    assert proxies.of_host(tmp_path / "none") == {}
    assert proxies.of_host(tmp_path) == {}
