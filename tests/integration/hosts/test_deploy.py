"""A systemd host over SSH: what each task does to it, and that nothing else changes. `make test-hosts`."""

import shutil
from collections.abc import Iterator

import pytest

from tests.support.host_deployment import HostDeployment, host_deployment
from tests.support.machines.access import Access
from tests.support.share import eventually, stretched

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    with host_deployment("deploy", tmp_path_factory.mktemp("d")) as deployed:
        deployed.deploy()
        yield deployed


def test_a_first_deployment_serves_every_model_in_units_of_their_own(host: HostDeployment) -> None:
    assert host.answers()
    assert host.serves_current()
    for unit in ("vllm@alpha.service", "vllm@beta.service", "vllm@gamma.service", "gateway.service"):
        assert (host.unit(unit)["ActiveState"], host.unit(unit)["SubState"]) == ("active", "running")
    assert host.machine.output("systemctl", "is-enabled", "axion.target").strip() == "enabled"
    assert host.machine.output("systemctl", "--failed", "--no-legend") == ""


def test_engines_and_gateway_are_not_root_and_read_what_root_wrote(host: HostDeployment) -> None:
    owners = host.machine.output("ps", "-eo", "user,args")
    ours = [line.split()[0] for line in owners.splitlines() if "/opt/axion/" in line]
    assert len(ours) == 3 * 5 + 1
    assert set(ours) == {"axion"}
    for path in ("releases", "builds", "current/release.json", "current/engines/alpha.yaml"):
        assert host.machine.output("stat", "--format=%U", f"/opt/axion/{path}").strip() == "root"


def test_the_same_file_again_changes_nothing_and_says_so_within_five_seconds(host: HostDeployment) -> None:
    before, files, bound_s = host.invocations(), host.files(), stretched(5)
    ran = host.deploy()
    assert "Nothing to do: " in ran.said
    assert ran.took_s < max(bound_s, stretched(5)), ran.said
    assert host.invocations() == before
    assert host.files() == files


def test_a_changed_model_restarts_that_engine_alone_and_can_be_rolled_back(host: HostDeployment) -> None:
    before, first = host.invocations(), host.link("current")
    host.models["beta"]["engine"]["max_num_seqs"] = 7
    host.deploy()
    after, second = host.invocations(), host.link("current")
    assert {name for name in after if after[name] != before[name]} == {"beta"}
    assert host.serves_current()
    assert host.answers()
    assert host.link("confirmed") == second != first

    host.succeed("rollback")
    assert host.link("current") == host.link("confirmed") == first
    back = host.invocations()
    assert {name for name in back if back[name] != after[name]} == {"beta"}
    assert host.serves_current()

    rows = {row["release"]: (row["current"], row["confirmed"]) for row in host.json("releases")}
    assert rows == {first: (True, True), second: (False, False)}
    del host.models["beta"]["engine"]["max_num_seqs"]
    assert "Nothing to do: " in host.deploy().said


def test_a_release_whose_model_does_not_answer_is_withdrawn_with_exit_code_1(host: HostDeployment) -> None:
    first, others = host.link("current"), host.invocations()
    broken = host.checkpoint("broken", exit=3, says="stand-in: the weights are torn")
    kept = host.models["gamma"]["weights"]
    host.models["gamma"]["weights"] = {"path": f"/{broken.relative_to(host.machine.root)}"}
    host.write()
    said = host.refuse("build-and-deploy")
    assert "gamma: does not answer" in said
    assert "the weights are torn" in said
    assert f"{first} serves again" in said
    assert host.link("current") == host.link("confirmed") == first
    assert host.answers()
    assert host.serves_current()
    after = host.invocations()
    assert {name for name in after if after[name] != others[name]} == {"gamma"}
    host.models["gamma"]["weights"] = kept


def test_status_logs_and_verify_tell_of_the_host(host: HostDeployment) -> None:
    told = host.json("status")
    assert told["release"] == told["confirmed"] == host.link("current")
    assert {row["model"]: row["state"] for row in told["models"]} == dict.fromkeys(host.models, "ready")
    assert "stand-in: loading alpha from /srv/checkpoints/alpha" in host.succeed("logs", "alpha").stdout
    checks = {one["check"]: one["verdict"] for one in host.json("verify")}
    assert set(checks.values()) == {"pass"}, checks


def test_a_lock_that_somebody_holds_is_named_and_can_be_ended(host: HostDeployment) -> None:
    before = host.record("alpha")["unit_digest"]
    slow = host.checkpoint("slow", load_s=25)
    kept = host.models["alpha"]["weights"]
    host.models["alpha"]["weights"] = {"path": f"/{slow.relative_to(host.machine.root)}"}
    host.write()
    held = host.popen("build-and-deploy")
    try:
        eventually(lambda: host.record("alpha").get("unit_digest") != before, "it restarts the slow model")
        refused = host.refuse("restart", "beta")
        assert "being changed by somebody else" in refused
        assert "`fab build-and-deploy`" in refused
        assert "fab unlock" in refused
        assert "fab build-and-deploy" in host.succeed("unlock", "--yes").said
        _, said = held.communicate(timeout=60)
        assert held.returncode == 1, said
        assert "`fab unlock` ended this task" in said
    finally:
        held.kill()
        held.communicate()
    host.models["alpha"]["weights"] = kept
    host.deploy()
    assert host.answers()
    assert host.serves_current()
    done = [(line["what"], line["outcome"]) for line in host.json("history")][-2:]
    assert done[1] == ("fab build-and-deploy", "done")


def test_a_changed_host_key_is_refused_before_anything_is_sent(host: HostDeployment) -> None:
    log = ("journalctl", "--unit=ssh.service", "--grep=Accepted publickey", "--output=cat", "--no-pager")
    before, kept = host.machine.output(*log), host.machine.access.known_hosts.read_text()
    other = Access(directory=host.file.parent / "other", port=host.machine.access.port)
    other.directory.mkdir()
    other.make()
    shutil.copy(other.known_hosts, host.machine.access.known_hosts)
    try:
        said = host.refuse("build-and-deploy")
    finally:
        host.machine.access.known_hosts.write_text(kept)
    assert "host key" in said
    assert "ssh-keygen" in said
    assert host.machine.output(*log) == before
