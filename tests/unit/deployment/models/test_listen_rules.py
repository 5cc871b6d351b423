"""Addresses that contradict each other, or that TLS cannot be spoken on."""

from typing import Any

import pytest

from deployment.errors import ConfigError
from tests.support.deployments import deployment

TLS = {"certificate": "/etc/tls/a.pem", "key": "/etc/tls/a.key"}


@pytest.mark.parametrize(
    ("gateway", "expected"),
    [
        ({"listen": ["127.0.0.1:8080", "0.0.0.0:8443"], "tls": TLS}, None),
        ({"listen": ["localhost:8080", "10.0.0.9:443"], "tls": TLS}, None),
        ({"listen": ["0.0.0.0:8080"]}, None),
        (
            {"listen": ["0.0.0.0:8443"], "tls": TLS},
            'gateway.listen[0]: with tls, the host itself asks at the first address, without TLS, got "0.0.0.0:8443". '
            "Put one of 127.0.0.1 before it.",
        ),
        (
            {"listen": ["10.0.0.9:8443", "127.0.0.1:8080"], "tls": TLS},
            'gateway.listen[0]: with tls, the host itself asks at the first address, without TLS, got "10.0.0.9:8443". '
            "Put one of 127.0.0.1 before it.",
        ),
        (
            {"listen": ["127.0.0.1:8080", "localhost:8082"], "tls": TLS},
            "gateway.tls: nobody would be spoken to with TLS: every address of listen is for this host only, got "
            '["127.0.0.1:8080", "localhost:8082"]. Add one, such as 0.0.0.0:8443.',
        ),
        (
            {"tls": TLS},
            "gateway.tls: nobody would be spoken to with TLS: every address of listen is for this host only, got "
            '["127.0.0.1:8080"]. Add one, such as 0.0.0.0:8443.',
        ),
        (
            {"listen": ["127.0.0.1:8443", "0.0.0.0:8443"], "tls": TLS},
            'gateway.listen[0]: 0.0.0.0:8443 holds it already, got "127.0.0.1:8443". Change its port.',
        ),
        (
            {"listen": ["0.0.0.0:8080", "10.0.0.9:8080"]},
            'gateway.listen[1]: 0.0.0.0:8080 holds it already, got "10.0.0.9:8080". Change its port.',
        ),
    ],
)
def test_addresses_must_go_together(gateway: dict[str, Any], expected: str | None) -> None:
    if expected is None:
        assert deployment(gateway=gateway).gateway.listen[0] == gateway["listen"][0]
        return
    with pytest.raises(ConfigError) as refused:
        deployment(gateway=gateway)
    assert [problem[problem.index("gateway.") :] for problem in refused.value.problems] == [expected]


@pytest.mark.parametrize("path", ["tls/a.pem", "/etc/my tls/a.pem", "/etc/$HOME/a.pem", "/etc/tls/", '/etc/"a"', "/"])
def test_a_file_is_named_by_a_path_that_a_unit_can_hold(path: str) -> None:
    listen = ["127.0.0.1:8080", "0.0.0.0:8443"]
    with pytest.raises(ConfigError, match=r"gateway\.tls\.certificate"):
        deployment(gateway={"listen": listen, "tls": {**TLS, "certificate": path}})
