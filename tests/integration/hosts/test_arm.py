"""An emulated arm64 host under systemd: everything of a deployment but vLLM itself. `make test-hosts`.

Emulation proves answers and says nothing about speed. vLLM for aarch64 is `make test-arm`.
"""

import json
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.protocol import OffersAnswer
from build.deploy.facts import Facts, probe_command
from build.deploy.packages import chosen_packages, offers_command, update_command
from build.engine.needs import needs_of
from build.errors import DeployError
from build.pins import PINS, load_pins
from build.remote.agent import carrying
from build.remote.target import Target
from tests.support.arm import wheels
from tests.support.arm.host import REPOSITORY, arm_programs_run
from tests.support.arm.host import install_packages as install_emulation
from tests.support.arm.root import make_root
from tests.support.host_deployment import HostDeployment
from tests.support.machines.arm import UNITS, arm_layer
from tests.support.machines.machine import Machine, booted
from tests.support.machines.standin import standin_layers
from tests.support.share import eventually
from tests.support.web import free_port

pytestmark = pytest.mark.hosts

OPERATORS_BOUND_S = 1800.0
HOST = Target(name="a host", root="/opt/axion", runner="systemd", python="python3")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    install_emulation()
    binds = {wheels.SITE: "/srv/site", wheels.AXION: "/srv/axion", REPOSITORY: "/srv/checkout"}
    with arm_programs_run():  # already for the roots: packages run their scripts
        make_root()
        wheels.install_engine()
        wheels.install_axion()
        layers = (arm_layer(), *standin_layers("arm64"))
        machine = Machine("arm", port=free_port(), architecture="arm64", layers=layers, binds=binds)
        with booted(machine) as emulated:
            yield HostDeployment(emulated, tmp_path_factory.mktemp("d"), ("alpha",))


def over_ssh(host: HostDeployment, *argv: str, stdin: bytes | None = None, timeout_s: float = 300) -> str:
    command = host.machine.access.command(shlex.join(argv))
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout_s, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def test_what_the_host_could_compile_with_is_found_and_debians_compiler_is_too_old(host: HostDeployment) -> None:
    over_ssh(host, *update_command().argv)
    # No deployment has brought the agent here yet.
    look, ask, pins = carrying(probe_command(HOST, {}, [])), carrying(offers_command(HOST)), load_pins(PINS)
    facts = Facts.from_json(over_ssh(host, *look.argv, stdin=look.stdin))
    system, offered = facts.system, OffersAnswer.from_json(over_ssh(host, *ask.argv, stdin=ask.stdin)).versions
    assert facts.machine == "aarch64"
    assert (system.distribution, system.is_root, system.has_apt) == ("Debian GNU/Linux 12 (bookworm)", True, True)
    assert {"bf16", "i8mm", "sve2"} <= set(system.features)
    assert set(offered) == {"g++", "g++-12"}
    compiled, wheel = (
        needs_of(pins, machine="aarch64", python="3.11.2", building=each, is_compiling_models=False)
        for each in ("compiled", "wheel")
    )
    with pytest.raises(DeployError, match=r"no compiler that is new enough, got g\+\+ 12\.2\.0 where g\+\+ 12\.3 is"):
        chosen_packages(compiled, system, offered, name="arm")
    assert chosen_packages(wheel, system, offered, name="arm")[-1] == "g++-12"


@pytest.fixture(scope="module")
def deployed(host: HostDeployment) -> HostDeployment:
    host.write()
    ran = host.fab("build-and-deploy", timeout_s=600)
    assert ran.status == 0, ran.said
    return host


def test_a_deployment_over_ssh_serves_a_model_through_the_gateway(deployed: HostDeployment) -> None:
    assert deployed.ask("alpha", timeout_s=120) == (200, "alpha alpha alpha ")
    assert deployed.link("confirmed") == deployed.link("current")
    assert deployed.serves_current()
    for unit in ("vllm@alpha.service", "gateway.service"):
        assert deployed.unit(unit)["ActiveState"] == "active"
    before, again = deployed.invocations(), deployed.fab("build-and-deploy", timeout_s=300)
    assert (again.status, "Nothing to do" in again.said) == (0, True), again.said
    assert deployed.invocations() == before


def test_its_own_systemd_finds_nothing_wrong_with_the_units(deployed: HostDeployment) -> None:
    units = (*(name.replace("@", "@alpha") for name in UNITS), "gateway.socket", "axion.target")
    checked = deployed.machine.run("systemd-analyze", "verify", "--man=no", *units, timeout_s=300)
    ours = [line for line in checked.stderr.splitlines() if "axion" in line or "gateway" in line or "vllm@" in line]
    assert (checked.returncode, ours) == (0, [])


def test_an_engine_that_is_killed_comes_back(deployed: HostDeployment) -> None:
    before = deployed.record("alpha")["pid"]
    deployed.machine.output("kill", "-KILL", str(before))
    eventually(lambda: deployed.record("alpha").get("pid") not in (None, before), "it is started again", 120)
    eventually(lambda: deployed.ask("alpha", timeout_s=60)[0] == 200, "it answers", 240)


def test_the_kernels_of_the_cross_built_wheel_pass_their_checks_there(host: HostDeployment) -> None:
    path = "PYTHONPATH=/srv/site:/srv/axion:/srv/checkout"
    answers = "/var/tmp/operators.json"
    words = ("env", path, "TORCHDYNAMO_DISABLE=1", "python3", "-P", "-m", "tests.support.kernels.operators", answers)
    over_ssh(host, *words, timeout_s=OPERATORS_BOUND_S)
    told = json.loads((host.machine.root / Path(answers).relative_to("/")).read_text())
    assert told["isa"] == "sve2"
    assert len(told["checks"]) >= 10
    assert {name: said for name, said in told["checks"].items() if said} == {}
