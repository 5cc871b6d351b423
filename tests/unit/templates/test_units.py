"""The rendered units: golden text, the same commands everywhere, and systemd's own judgement."""

import configparser
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

import jinja2
import jinja2.meta
import pytest
from supervisor.options import UnhosedConfigParser

from tests.support.fakes.host_root import REPOSITORY

GOLDEN = REPOSITORY / "tests" / "golden" / "units"
ENGINES = [
    {"name": "gemma3-27b", "stop_s": 70, "on_demand": False},
    {"name": "phi-4-mini", "stop_s": 70, "on_demand": False},
]
VM: Mapping[str, object] = {
    "root": "/opt/axion",
    "python": "/opt/axion/current/build/venv/bin/python",
    "user": "axion",
    "engines": ENGINES,
    "cores": "4-17",
    "memory_high_bytes": 49392123904,
    "memory_max_bytes": 55834574848,
    "cpu_weight": 100,
    "unit": "gateway",
    "watchdog_s": 180,
    "previous": "phi-4-mini",
    "listen": ["127.0.0.1:8080", "10.20.0.9:8082"],
    "stop_s": 70,
    "gateway_stop_s": 60,
    "starter": "/run/axion/starter.sock",
    "allowed_clients": ["10.20.0.0/24", "10.30.0.7"],
    "keys": "/run/axion/gateway-key-digests",
    "state": "/opt/axion/state/gateway",
    "tls": "/etc/axion/tls/fullchain.pem /etc/axion/tls/privkey.pem /run/axion/gateway-tls.pem axion",
    "source": "projects/a-project/secrets/axion-prod-gateway-api-keys",
}
HANDOVER = {**VM, "unit": "handover"}
LOCAL = {**VM, "root": "/home/me/it's 100% mine/out/local", "python": "/home/me/it's 100% mine/py/bin/python"}
CASES = [
    ("supervisord.conf.j2", LOCAL, "supervisord.conf"),
    ("Procfile.j2", LOCAL, "Procfile"),
    ("systemd/vllm@.service.j2", VM, "vllm@.service"),
    ("systemd/vllm@.conf.j2", VM, "vllm@gemma3-27b.service.d/50-resources.conf"),
    ("systemd/vllm@.order.conf.j2", VM, "vllm@gemma3-27b.service.d/20-order.conf"),
    ("systemd/gateway.service.j2", VM, "gateway.service"),
    ("systemd/gateway.socket.j2", VM, "gateway.socket"),
    ("systemd/gateway.service.j2", HANDOVER, "gateway-handover.service"),
    ("systemd/gateway-restart.service.j2", VM, "gateway-restart.service"),
    ("systemd/gateway-keys.service.j2", VM, "gateway-keys.service"),
    ("systemd/engine-starter.socket.j2", VM, "engine-starter.socket"),
    ("systemd/engine-starter.service.j2", VM, "engine-starter.service"),
    ("systemd/axion.slice.j2", VM, "axion.slice"),
    ("systemd/axion.target.j2", VM, "axion.target"),
]
SYSTEMD = [case for case in CASES if case[0].startswith("systemd/")]


STRICT = jinja2.Environment(
    loader=jinja2.FileSystemLoader(REPOSITORY / "templates"),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    autoescape=False,  # noqa: S701 - not HTML
)


def render(template: str, values: Mapping[str, object]) -> str:
    return STRICT.get_template(template).render(values)


@pytest.mark.parametrize(("template", "values", "golden"), CASES, ids=[case[2] for case in CASES])
def test_rendered_text_is_the_golden_text(template: str, values: Mapping[str, object], golden: str) -> None:
    text = render(template, values)
    if os.environ.get("UPDATE_GOLDEN"):
        (GOLDEN / golden).parent.mkdir(parents=True, exist_ok=True)
        (GOLDEN / golden).write_text(text)
    assert text == (GOLDEN / golden).read_text()
    assert text.startswith(f"# rendered from templates/{template}, do not edit\n")
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


@pytest.mark.parametrize(("template", "values", "golden"), CASES, ids=[case[2] for case in CASES])
def test_a_missing_value_is_an_error(template: str, values: Mapping[str, object], golden: str) -> None:
    used = jinja2.meta.find_undeclared_variables(STRICT.parse((REPOSITORY / "templates" / template).read_text()))
    assert used <= set(values)
    for key in used:
        with pytest.raises(jinja2.UndefinedError, match=key):
            render(template, {name: value for name, value in values.items() if name != key})


def supervised_commands(text: str) -> dict[str, str]:
    parser = UnhosedConfigParser()
    parser.read_string(text)
    sections = [name for name in parser.sections() if name.startswith("program:")]
    return {name.removeprefix("program:"): parser.get(name, "command") % {} for name in sections}


def procfile_commands(text: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = re.fullmatch(r"([a-z0-9][a-z0-9_-]*): (.+)", line)
            assert match is not None, line
            found[match[1]] = match[2]
    return found


def test_an_engine_on_demand_is_started_by_nobody_but_the_gateway() -> None:
    """Neither with the others nor at a boot; what starts it is there where it is needed, and nowhere else."""
    engines = [ENGINES[0], {**ENGINES[1], "on_demand": True}]
    target = render("systemd/axion.target.j2", {**VM, "engines": engines}).splitlines()
    assert [line for line in target if line.startswith("Wants=")] == [
        "Wants=vllm@gemma3-27b.service",
        "Wants=gateway.socket gateway.service engine-starter.socket",
    ]
    parser = configparser.RawConfigParser()
    parser.read_string(render("supervisord.conf.j2", {**LOCAL, "engines": engines}))
    starts = {name: parser[name]["autostart"] for name in parser.sections() if name.startswith("program:")}
    assert starts == {
        "program:gateway": "true",
        "program:engine-starter": "true",
        "program:gemma3-27b": "true",
        "program:phi-4-mini": "false",
    }
    without = {"starter": ""}
    assert "engine-starter" not in render("supervisord.conf.j2", {**LOCAL, **without})
    assert "engine-starter" not in render("systemd/axion.target.j2", {**VM, **without})


def test_the_starter_has_a_socket_for_the_gateways_account_and_no_right_that_root_has() -> None:
    socket = render("systemd/engine-starter.socket.j2", VM).splitlines()
    assert {"ListenStream=/run/axion/starter.sock", "SocketUser=axion", "SocketMode=0600"} <= set(socket)
    service = render("systemd/engine-starter.service.j2", VM).splitlines()
    assert {"CapabilityBoundingSet=", "NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateNetwork=yes"} <= set(
        service
    )
    assert [line for line in service if line.startswith(("User=", "ReadWritePaths=", "Accept="))] == []


def test_procfile_and_supervisord_run_the_same_commands() -> None:
    processes = procfile_commands(render("Procfile.j2", LOCAL))
    assert processes == supervised_commands(render("supervisord.conf.j2", {**LOCAL, "starter": ""}))
    assert list(processes) == ["gateway", "gemma3-27b", "phi-4-mini"]
    words = shlex.split(processes["phi-4-mini"])
    assert words[:3] == ["/usr/bin/env", f"PYTHONPATH={LOCAL['root']}/current/lib", LOCAL["python"]]
    assert words[3:6] == ["-P", "-m", "agent.launch"]
    assert words[6:] == ["--root", LOCAL["root"], "--release", f"{LOCAL['root']}/current", "--name", "phi-4-mini"]


def test_supervisord_reads_the_engine_settings_from_nowhere_but_current() -> None:
    """Only adding or removing a model may change this file, or every new setting would need a reread."""
    text = render("supervisord.conf.j2", LOCAL)
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    one, other = (dict(parser[f"program:{engine['name']}"]) for engine in ENGINES)
    assert {key: value.replace("gemma3-27b", "phi-4-mini") for key, value in one.items()} == other


def systemd_tree(tmp_path: Path) -> Path:
    """Render every unit below a directory of its own, with the programs that they start."""
    units = tmp_path / "etc" / "systemd" / "system"
    values = {**VM, "root": str(tmp_path / "axion"), "python": str(tmp_path / "axion" / "python")}
    for template, given, golden in SYSTEMD:
        path = units / golden
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(render(template, {**values, "unit": given["unit"]}))
    (tmp_path / "axion").mkdir()
    (tmp_path / "axion" / "python").write_text("#!/bin/sh\n")
    (tmp_path / "axion" / "python").chmod(0o755)
    return units


def test_systemd_finds_nothing_wrong(tmp_path: Path, systemd_analyze: str) -> None:
    units = systemd_tree(tmp_path)
    names = ["vllm@gemma3-27b.service", "axion.slice", "axion.target", "gateway.socket"]
    names += ["engine-starter.socket", "engine-starter.service"]
    names += [f"gateway{kind}.service" for kind in ("", "-handover", "-restart")]
    # The trailing colon keeps the machine's own units in the search path: network-online.target is one of them.
    env = os.environ | {"SYSTEMD_UNIT_PATH": f"{units}:", "SYSTEMD_LOG_LEVEL": "warning"}
    command = [systemd_analyze, "verify", "--man=no", "--recursive-errors=one", *names]
    done = subprocess.run(command, env=env, cwd=units, capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "unit", ["vllm@.service", "gateway.service", "gateway-handover.service", "engine-starter.service"]
)
def test_the_exposure_of_a_service_stays_low(tmp_path: Path, systemd_analyze: str, unit: str) -> None:
    path = systemd_tree(tmp_path) / unit
    command = [systemd_analyze, "security", "--offline=true", "--threshold=20", "--no-pager", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Overall exposure level" in done.stdout


def test_the_gateway_that_steps_in_is_confined_like_the_gateway() -> None:
    """It runs the same program with the same rights: only its name, and who starts it again, may differ."""
    gateway, handover = (set(render("systemd/gateway.service.j2", values).splitlines()) for values in (VM, HANDOVER))
    assert {line for line in gateway ^ handover if not line.startswith("#")} == {
        "Description=OpenAI-compatible gateway in front of the engines",
        "Description=Second gateway, which serves while the first is replaced",
        "Restart=always",
        "Restart=no",
        "RestartSec=1",
    }


@pytest.mark.parametrize(
    "unit", ["gateway.socket", "gateway.service", "gateway-handover.service", "gateway-restart.service"]
)
def test_no_number_of_starts_closes_the_gateways_address(unit: str) -> None:
    """systemd fails a socket when any service that names it in Sockets= reaches its limit, and when it does itself."""
    lines = (GOLDEN / unit).read_text().splitlines()
    assert "StartLimitIntervalSec=0" in lines[: lines.index("[Socket]" if unit == "gateway.socket" else "[Service]")]
    assert ("TriggerLimitIntervalSec=0" in lines) == (unit == "gateway.socket")


@pytest.mark.parametrize("unit", ["gateway.socket", "gateway.service", "gateway-handover.service"])
def test_what_serves_the_address_depends_on_no_other_units_success(unit: str) -> None:
    """A start that fails for want of another unit is never tried again; one whose process fails is."""
    keys = {line.partition("=")[0] for line in (GOLDEN / unit).read_text().splitlines()}
    assert [key for key in keys if key.startswith(("Requi", "Requisite", "BindsTo", "Condition", "Assert"))] == []


def test_the_address_stays_open_while_everything_else_restarts() -> None:
    lines = render("systemd/gateway.socket.j2", VM).splitlines()
    assert "StopPropagatedFrom=axion.target" in lines
    assert [line for line in lines if line.startswith("PartOf=")] == []


def test_an_engine_waits_for_the_one_before_it_and_the_first_for_nobody() -> None:
    assert "After=vllm@phi-4-mini.service" in render("systemd/vllm@.order.conf.j2", VM).splitlines()
    first = render("systemd/vllm@.order.conf.j2", {"previous": ""})
    assert [line for line in first.splitlines() if line and line[0] != "#"] == ["[Unit]"]


def test_who_may_connect_is_decided_where_connections_arrive() -> None:
    """The lists of a service do not count for sockets that systemd opened (systemd.resource-control(5))."""
    lines = render("systemd/gateway.socket.j2", VM).splitlines()
    assert [line.partition("=")[2] for line in lines if line.startswith("ListenStream=")] == VM["listen"]
    access = [line for line in lines if line.startswith("IPAddress")]
    assert access == [
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
        "IPAddressAllow=10.20.0.0/24",
        "IPAddressAllow=10.30.0.7",
    ]
