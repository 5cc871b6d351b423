"""What people and other programs do to a host: it is told at once, and the documented commands make it right.

`make test-hosts`.
"""

from collections.abc import Iterator

import pytest

from tests.support.host_deployment import HostDeployment, host_deployment
from tests.support.share import eventually

pytestmark = pytest.mark.hosts

THIEF = """import os, socket, sys, time
taken = socket.socket()
taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
taken.bind(("127.0.0.1", int(sys.argv[1])))
taken.listen()
if os.fork():
    os._exit(0)
time.sleep(10**6)
"""
THIEF_UNIT = """[Unit]
DefaultDependencies=no
Before=gateway.socket
[Service]
Type=forking
ExecStart=/usr/bin/python3 /usr/local/bin/thief {port}
[Install]
WantedBy=sysinit.target
"""
DROP_IN = "etc/systemd/system/vllm@alpha.service.d/99-somebody.conf"
BROKEN = {
    "current points nowhere": "ln -sfn releases/20990101T000000-gone current",
    "current is missing": "rm current",
    "current is a directory": "cp -r $(readlink current) copy && rm current && mv copy current",
    "the release lost its units": "rm -r current/systemd",
    "the release lost its description": "rm current/release.json",
    "the release's description is empty": ": > current/release.json",
}


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    with host_deployment("host-odd", tmp_path_factory.mktemp("d"), ("alpha", "beta")) as deployed:
        deployed.deploy()
        yield deployed


@pytest.fixture(autouse=True)
def begin_well(host: HostDeployment) -> Iterator[None]:
    yield
    run(host, "if [ -e current ] && [ ! -L current ]; then mv current current.old; rm -r current.old; fi")
    host.deploy()
    assert host.answers()


def run(host: HostDeployment, script: str) -> str:
    return host.machine.output("bash", "-euc", f"cd /opt/axion\n{script}")


def nothing_runs(host: HostDeployment) -> bool:
    states = [host.unit(unit)["ActiveState"] for unit in ("gateway.socket", "gateway.service", "vllm@alpha.service")]
    return states == ["inactive"] * 3 and host.ask("alpha")[0] == 0


@pytest.mark.parametrize("how", BROKEN)
def test_stop_ends_everything_whatever_current_is(host: HostDeployment, how: str) -> None:
    run(host, BROKEN[how])
    assert host.ask("alpha")[0] == 200
    assert "Stopped after" in host.succeed("stop").stderr
    assert nothing_runs(host)
    assert host.succeed("stop").stderr == "Nothing runs.\n"


@pytest.mark.parametrize("how", [name for name in BROKEN if name != "the release lost its units"])
def test_what_serves_without_a_current_release_is_told_and_nothing_is_disturbed(host: HostDeployment, how: str) -> None:
    before = host.invocations()
    run(host, BROKEN[how])
    told = host.fab("status")
    assert (told.status, "alpha" in told.stdout, "beta" in told.stdout) == (1, True, True)
    for words in (("status",), ("restart", "alpha"), ("verify",)):
        refused = host.fab(*words)
        assert refused.status == 1, words
        assert "still running: alpha, beta, gateway. Run `fab build-and-deploy`" in " ".join(refused.said.split())
    assert "launch: alpha: release" in host.succeed("logs", "alpha").stdout
    assert host.invocations() == before
    assert host.ask("alpha")[0] == 200


@pytest.mark.parametrize("how", [name for name in BROKEN if name != "current is a directory"])
def test_a_deployment_makes_current_right_and_a_rollback_returns_to_what_served(host: HostDeployment, how: str) -> None:
    run(host, BROKEN[how])
    host.deploy()
    assert host.answers()
    assert host.serves_current()
    last = host.link("current")
    run(host, "ln -sfn releases/20990101T000000-gone current")
    assert f"{last} serves again" in host.succeed("rollback").stderr
    assert host.link("current") == last


def test_a_directory_in_the_place_of_current_is_not_touched(host: HostDeployment) -> None:
    run(host, BROKEN["current is a directory"])
    assert host.refuse("build-and-deploy").startswith(
        "host-odd: /opt/axion/current is no link to a release, got something that somebody else put there. Move it "
    )
    assert "is no link to a release" in host.refuse("rollback")
    assert host.ask("alpha")[0] == 200


def test_a_release_that_lost_its_units_is_not_returned_to(host: HostDeployment) -> None:
    first = host.link("current")
    host.models["alpha"]["engine"]["max_num_seqs"] = 3
    second = host.deploy() and host.link("current")
    run(host, f"rm -r releases/{first}/systemd")
    before = host.invocations()
    assert "systemd" in host.refuse("rollback")
    assert (host.link("current"), host.invocations()) == (second, before)
    del host.models["alpha"]["engine"]["max_num_seqs"]


def test_a_port_that_another_program_took_at_boot_is_told_and_served_once_it_is_free(host: HostDeployment) -> None:
    (host.machine.root / "usr/local/bin/thief").write_text(THIEF)
    (host.machine.root / "etc/systemd/system/thief.service").write_text(THIEF_UNIT.format(port=host.port))
    run(host, "systemctl enable --quiet thief.service")
    try:
        host.machine.reboot()
        _is_told(host)
    finally:
        run(host, "systemctl disable --now --quiet thief.service; rm /etc/systemd/system/thief.service")
    eventually(host.answers, "it serves by itself", 30)
    assert host.json("status")["troubles"] == []


def _is_told(host: HostDeployment) -> None:
    eventually(lambda: host.unit("vllm@beta.service")["SubState"] == "running", "engines run", 60)
    pid = run(host, "systemctl show --property=MainPID --value thief.service").strip()
    finding = (
        f"nobody is served, got 127.0.0.1:{host.port} in use by python3 (pid {pid}). Stop that program: the gateway "
        "then opens its address by itself within seconds"
    )
    assert f"gateway.socket: {finding}." in host.succeed("status").stdout
    assert host.json("status")["troubles"] == [{"unit": "gateway.socket", "kind": "failed", "what": finding}]
    doctor = host.fab("doctor", "--json")
    assert doctor.status == 1
    assert f'"check": "host-odd: gateway.socket",\n  "verdict": "fail",\n  "finding": "{finding}"' in doctor.stdout
    assert f'in use on host-odd by another program, got "127.0.0.1:{host.port}"' in host.refuse("build-and-deploy")


@pytest.mark.parametrize(
    ("how", "unit", "kind"),
    [
        ("systemctl disable --quiet axion.target", "axion.target", "disabled"),
        ("echo '# mine' >> /etc/systemd/system/vllm@.service", "vllm@.service", "edited"),
        ("echo '# mine' >> /etc/systemd/system/vllm@beta.service.d/50-resources.conf", "vllm@beta.service", "edited"),
        ("rm /etc/systemd/system/gateway-handover.service", "gateway-handover.service", "edited"),
        ("ln -sfn /dev/null /etc/systemd/system/gateway.socket", "gateway.socket", "masked"),
    ],
)
def test_what_was_changed_by_hand_is_told_and_a_deployment_makes_it_right(
    host: HostDeployment, how: str, unit: str, kind: str
) -> None:
    run(host, f"{how}; systemctl daemon-reload")
    found = host.json("status")["troubles"]
    assert [(each["unit"], each["kind"]) for each in found] == [(unit, kind)]
    doctor = host.fab("doctor")
    assert doctor.status == 1
    assert f"host-odd: {unit}" in doctor.stdout
    if kind == "masked":
        assert f"{unit}: masked by hand. Run `systemctl unmask {unit}` there." in host.refuse("plan")
        run(host, f"systemctl unmask {unit}")
    host.deploy()
    assert host.json("status")["troubles"] == []


def test_a_drop_in_of_somebody_else_is_named_and_left_alone(host: HostDeployment) -> None:
    (host.machine.root / DROP_IN).write_text("[Service]\nNice=1\n")
    run(host, "systemctl daemon-reload")
    doctor = host.succeed("doctor")
    assert f"changed by a drop-in that is not of ours, got /{DROP_IN}" in " ".join(doctor.stdout.split())
    assert "Nothing to do" in host.deploy().said
    assert (host.machine.root / DROP_IN).exists()
    run(host, f"rm /{DROP_IN}; systemctl daemon-reload")


UNMADE = {
    "InaccessiblePaths=/opt/axion/builds": "systemd cannot execute its program (status 203, EXEC /opt/axion/current/"
    "build/venv/bin/python: No such file or directory)",
    "WorkingDirectory=/nowhere": "systemd cannot enter its working directory (status 200, CHDIR /opt/axion/current/"
    "build/venv/bin/python: No such file or directory)",
    "ReadWritePaths=/nowhere": "systemd cannot show it the files that its unit names (status 226, NAMESPACE /opt/axion/"
    "current/build/venv/bin/python: No such file or directory)",
    "User=nobodyhere": "systemd cannot find its user (status 217",
}


def test_a_start_that_systemd_cannot_make_is_told_in_its_words_and_not_with_errors_of_before(
    host: HostDeployment,
) -> None:
    weights = host.models["alpha"]["weights"]["path"]
    host.checkpoint("broken", exit=3, says="RuntimeError: an error of an earlier deployment")
    host.models["alpha"]["weights"]["path"] = "/srv/checkpoints/broken"
    host.write()
    assert "RuntimeError: an error of an earlier deployment" in host.refuse("build-and-deploy")
    host.models["alpha"]["weights"]["path"] = weights
    try:
        for setting, reason in UNMADE.items():
            (host.machine.root / DROP_IN).write_text(f"[Service]\n{setting}\n")
            run(host, "systemctl daemon-reload")
            said = host.refuse("restart", "alpha")
            assert f"alpha: does not answer, got: the engine kept ending while starting: {reason}" in said
            assert "an error of an earlier deployment" not in said
    finally:
        run(host, f"rm /{DROP_IN}; systemctl daemon-reload")


def test_a_directory_that_is_a_link_serves_and_one_that_leads_into_a_home_is_refused(host: HostDeployment) -> None:
    run(host, "ln -s /opt/axion /srv/axion")
    host.machine.inventory(data_mount="/srv/axion")
    host.deploy()
    assert host.answers()
    assert "/srv/axion/current" in (host.machine.root / "etc/systemd/system/vllm@.service").read_text()
    run(host, "mkdir /home/axion; ln -sfn /home/axion /srv/axion")
    before = host.invocations()
    assert "below a home, which services do not see, got /srv/axion -> /home/axion." in host.refuse("plan")
    run(host, "ln -sfn /opt/axion /srv/axion; chmod 700 /opt/axion")
    assert "the account that serves cannot pass /opt/axion: " in host.refuse("plan")
    run(host, "chmod 755 /opt/axion")
    assert host.invocations() == before
    host.machine.inventory()
    for path, why in (("/home/axion", "below a home"), ("/var/tmp", "temporary"), ("/opt/my data", "characters")):
        host.machine.inventory(data_mount=path)
        assert why in host.refuse("build-and-deploy")
    host.machine.inventory()
    assert run(host, "stat --format=%a /var/tmp").strip() == "1777"
    assert host.invocations() == before
