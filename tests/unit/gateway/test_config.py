"""A configuration that cannot be used: every reason at once, in words that say what to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.__main__ import main
from gateway.config import Listen
from gateway.config_file import ConfigError, load_config, parse_config
from gateway.listeners import inherited_count, open_listeners

GOOD: dict[str, Any] = {
    "listen": [{"port": 8082}],
    "default_model": "a",
    "models": [{"name": "a", "socket": "/run/a.sock"}],
}


def problems(**changes: Any) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse_config(json.dumps({**GOOD, **changes}).encode(), where="gateway.json")
    return caught.value.problems


def test_the_gateway_listens_on_loopback_unless_told_otherwise() -> None:
    loaded = parse_config(json.dumps(GOOD).encode(), where="gateway.json")
    assert loaded.config.listen[0].host == "127.0.0.1"
    assert len(loaded.digest) == 64


def test_every_mistake_is_reported_at_once() -> None:
    assert problems(
        default_modle="a", models=[{"name": "A!", "socket": 7}, {"name": "b"}], timeouts={"drain_s": -1}
    ) == (
        "gateway.json: models.0.name: string should match pattern '^[a-z0-9][a-z0-9_-]{0,30}$', got 'A!'. Correct it.",
        "gateway.json: models.0.socket: input is not a valid path for <class 'pathlib.Path'>, got 7. Correct it.",
        "gateway.json: models.1.socket: field required, got nothing. Add it.",
        "gateway.json: timeouts.drain_s: input should be greater than or equal to 0, got -1. Correct it.",
        "gateway.json: default_modle: extra inputs are not permitted, got 'a'. Remove it, or correct its spelling.",
    )


def test_names_sockets_and_the_default_are_checked_together() -> None:
    models = [
        {"name": "a", "socket": "/run/a.sock", "aliases": ["x"]},
        {"name": "b", "socket": "/run/a.sock", "aliases": ["x", "a"]},
    ]
    assert problems(models=models, default_model="c") == (
        "gateway.json: 'x' names both a and b. Give it to one of them.",
        "gateway.json: 'a' names both a and b. Give it to one of them.",
        "gateway.json: a and b share the socket /run/a.sock. Give each its own.",
        "gateway.json: default_model: no served model is called 'c'. Name one that is.",
    )


def test_a_file_that_is_not_json_is_reported_with_its_place() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(b'{\n  "listen": [,]', where="gateway.json")
    assert caught.value.problems == (
        "gateway.json: line 2 column 14: not JSON (expecting value), got ',]'. Correct it, or render the file again.",
    )


def test_a_missing_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "none.json"
    with pytest.raises(ConfigError, match=r"none.json: cannot be read: No such file or directory\. Give a"):
        load_config(path)


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 0),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "2"}, 2),
        ({"LISTEN_PID": "8", "LISTEN_FDS": "2"}, 0),
        ({"LISTEN_PID": "7"}, 0),
        ({"LISTEN_PID": "7", "LISTEN_FDS": "x"}, 0),
    ],
)
def test_sockets_from_systemd_are_taken_only_when_they_are_meant_for_us(
    environment: dict[str, str], count: int
) -> None:
    assert inherited_count(environment, 7) == count


def test_a_gateway_that_systemd_gave_no_socket_ends_instead_of_listening_where_nobody_comes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gateway.json").write_text(json.dumps(GOOD))
    assert main(["--config", str(tmp_path / "gateway.json"), "--inherit"]) == 1
    assert capsys.readouterr().err == (
        "listen: systemd has to hand over the sockets. Look at `systemctl status gateway.socket`.\n"
    )


def test_each_address_is_listened_on() -> None:
    listeners = open_listeners([Listen(port=0), Listen(port=0)])
    try:
        assert len({listener.getsockname()[1] for listener in listeners}) == 2
        assert {listener.getsockname()[0] for listener in listeners} == {"127.0.0.1"}
    finally:
        for listener in listeners:
            listener.close()
