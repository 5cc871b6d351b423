"""The least that a host must be: which systems pass, and that the figures are those of what we render and install."""

import re
from pathlib import Path

import pytest

from deployment.stack.catalog import load_catalog
from deployment.stack.minimum import (
    GLIBC_MIN,
    SYSTEMD_MIN,
    HostSystem,
    cgroup_warning,
    image_problem,
    is_unfit,
    system_problems,
)

REPOSITORY = Path(__file__).parents[4]
USE = "Use Ubuntu 24.04, or Debian 12 or newer."


def problems(python: str, systemd: str, glibc: str, cgroups: str = "cgroup2fs", distribution: str = "") -> list[str]:
    system = HostSystem(
        distribution=distribution,
        interpreter="/usr/bin/python3",
        python=python,
        systemd=systemd,
        glibc=glibc,
        cgroups=cgroups,
    )
    return list(system_problems("main", system, has_units=True))


def python_problem(version: str) -> str:
    return f"main: vLLM runs on Python 3.11 to 3.14, got {version}. {USE}"


def systemd_problem(version: str) -> str:
    return f"main: systemd 249 or newer has to run there, got {version}. {USE}"


def test_a_host_with_old_control_groups_serves_and_is_warned() -> None:
    warning = cgroup_warning(HostSystem(cgroups="tmpfs"))
    assert warning is not None
    assert warning.startswith("no control groups of version 2, got tmpfs: engines keep neither to their cores nor to")
    assert cgroup_warning(HostSystem(cgroups="cgroup2fs")) is None


# As each distribution ships them: /usr/bin/python3, systemd, glibc, the file system at /sys/fs/cgroup.
@pytest.mark.parametrize(
    ("system", "wrong"),
    [
        pytest.param(("3.11.2", "252 (252.39-1~deb12u2)", "2.36"), [], id="Debian 12"),
        pytest.param(("3.13.5", "257 (257.9-1~deb13u1)", "2.41"), [], id="Debian 13"),
        pytest.param(("3.12.3", "255 (255.4-1ubuntu8)", "2.39"), [], id="Ubuntu 24.04"),
        pytest.param(("3.12.9", "257 (257-9.el10)", "2.39"), [], id="Rocky 10, packages by hand"),
        pytest.param(("3.14.0", "258 (258.2-1.fc43)", "2.42"), [], id="Fedora 43, likewise"),
        pytest.param(
            ("3.9.2", "247 (247.3-7)", "2.31"), [python_problem("3.9.2"), systemd_problem("247 (247.3-7)")],
            id="Debian 11",
        ),
        pytest.param(
            ("3.8.10", "245 (245.4-4ubuntu3)", "2.31", "tmpfs"),
            [python_problem("3.8.10"), systemd_problem("245 (245.4-4ubuntu3)")],
            id="Ubuntu 20.04",
        ),
        pytest.param(("3.10.12", "249 (249.11)", "2.35"), [python_problem("3.10.12")], id="Ubuntu 22.04"),
        pytest.param(
            ("3.6.8", "239 (239-82.el8)", "2.28", "tmpfs"),
            [python_problem("3.6.8"), systemd_problem("239 (239-82.el8)")],
            id="Rocky 8",
        ),
        pytest.param(("3.9.21", "252 (252-51.el9)", "2.34"), [python_problem("3.9.21")], id="Rocky 9"),
        pytest.param(("3.6.15", "254 (254.24)", "2.38"), [python_problem("3.6.15")], id="SLES 15"),
        pytest.param(("3.15.0", "259 (259)", "2.43"), [python_problem("3.15.0")], id="too new a Python"),
        pytest.param(
            ("3.12.11", "", "", "cgroup2fs"),
            [f"main: the engine's wheels need glibc 2.28 or newer, got none. {USE}", systemd_problem("none")],
            id="Alpine",
        ),
        pytest.param(
            ("", "254 (254)", "2.38", "cgroup2fs", "Container-Optimized OS from Google"),
            [f"main: no Python at /usr/bin/python3, got Container-Optimized OS from Google. {USE}"],
            id="Container-Optimized OS",
        ),
        pytest.param(("3.11.2", "252 (252.39)", "2.27"), [
            f"main: the engine's wheels need glibc 2.28 or newer, got 2.27. {USE}"
        ], id="an old glibc"),
    ],
)  # fmt: skip
def test_all_that_keeps_a_system_from_serving_is_said_at_once(system: tuple[str, ...], wrong: list[str]) -> None:
    assert problems(*system) == wrong


def test_this_computer_needs_no_systemd() -> None:
    system = HostSystem(interpreter="/usr/bin/python3.12", python="3.12.3", glibc="2.39", cgroups="tmpfs")
    assert list(system_problems("this computer", system, has_units=False)) == []


# In which version each came, by systemd's NEWS; directives that are older than 232 are not listed.
SINCE = {
    "AllowedCPUs": 244, "IPAddressAllow": 235, "IPAddressDeny": 235, "KeyringMode": 235, "LockPersonality": 235,
    "LogNamespace": 245, "MemorySwapMax": 232, "OOMPolicy": 243, "PrivateIPC": 248, "PrivateUsers": 232,
    "ProtectClock": 245, "ProtectControlGroups": 232, "ProtectHostname": 242, "ProtectKernelLogs": 244,
    "ProtectKernelModules": 232, "ProtectKernelTunables": 232, "ProtectProc": 247, "RestrictNamespaces": 233,
    "RestrictSUIDSGID": 242, "RuntimeDirectoryPreserve": 235, "StopPropagatedFrom": 249, "WatchdogSignal": 240,
    "LoadCredential": 247,
}  # fmt: skip
OLDER = {
    "AccuracySec", "After", "AmbientCapabilities", "Backlog", "CPUWeight", "CapabilityBoundingSet", "Description",
    "DevicePolicy", "DirectoryMode", "Documentation", "Environment", "ExecReload", "ExecStart", "ExecStartPost",
    "ExecStartPre", "ExecStopPost", "FileDescriptorName", "ForwardToSyslog", "FreeBind", "Group", "KillMode",
    "LimitCORE", "LimitMEMLOCK", "LimitNOFILE", "ListenStream", "MaxRetentionSec", "MemoryDenyWriteExecute",
    "MemoryHigh", "MemoryMax", "NoDelay", "NoNewPrivileges", "NotifyAccess", "OOMScoreAdjust", "OnBootSec",
    "OnUnitActiveSec", "PartOf", "PrivateDevices", "PrivateNetwork", "PrivateTmp", "ProtectHome", "ProtectSystem",
    "RateLimitBurst", "RateLimitIntervalSec", "ReadOnlyPaths", "ReadWritePaths", "RemoveOnStop", "RequiresMountsFor",
    "Restart", "RestartSec", "RestrictAddressFamilies", "RestrictRealtime", "RuntimeDirectory", "RuntimeMaxSec",
    "Slice", "SocketGroup", "SocketMode", "SocketUser", "Sockets", "StartLimitBurst", "StartLimitIntervalSec",
    "Storage", "SuccessExitStatus", "SystemCallArchitectures", "SystemCallErrorNumber", "SystemCallFilter",
    "SystemKeepFree", "SystemMaxUse", "TasksMax", "TimeoutStartSec", "TimeoutStopSec", "TriggerLimitIntervalSec",
    "Type", "UMask", "Nice", "User", "WantedBy", "Wants", "WatchdogSec",
}  # fmt: skip


def test_no_directive_of_ours_is_newer_than_the_systemd_that_is_asked_for() -> None:
    """What an older one does not know it ignores, with a line in its log: the sandbox would have a hole."""
    texts = [
        path.read_text() for path in (REPOSITORY / "templates").rglob("*.j2") if path.name != "supervisord.conf.j2"
    ]
    used = {word for text in texts for word in re.findall(r"^([A-Z][A-Za-z]+)=", text, re.MULTILINE)}
    work = "".join((REPOSITORY / "agent" / name).read_text() for name in ("job.py", "secrets.py"))
    used |= set(re.findall(r'"([A-Z][A-Za-z]+)=', work))
    assert used - SINCE.keys() - OLDER == set(), "look it up in systemd's NEWS"
    assert max(SINCE[word] for word in used & SINCE.keys()) == SYSTEMD_MIN


def test_the_wheels_ask_for_no_newer_glibc() -> None:
    assert GLIBC_MIN == (2, 28)


UNFIT = [
    "debian-11-arm64", "debian-11", "debian-10-buster-v20240101", "ubuntu-2004-lts", "ubuntu-2204-lts-arm64",
    "ubuntu-minimal-2204-lts-arm64", "ubuntu-pro-2004-lts", "rocky-linux-8", "rocky-linux-9-arm64",
    "rocky-linux-9-optimized-gcp-arm64", "rocky-linux-10-arm64", "cos-stable", "cos-arm64-stable", "cos-109-lts",
    "rhel-8", "rhel-9-arm64", "sles-15-sp6-arm64", "sles-12", "centos-stream-9-arm64", "opensuse-leap-arm64",
    "fedora-coreos-stable-arm64", "fedora-cloud-43-arm64", "windows-2022", "almalinux-9-arm64", "oracle-linux-9",
]  # fmt: skip
FIT = [
    "debian-12-arm64", "debian-13-arm64", "debian-12-bookworm-arm64-v20260101", "ubuntu-2404-lts-arm64",
    "ubuntu-2404-noble-arm64-v20260101", "ubuntu-minimal-2404-lts-arm64", "ubuntu-pro-2404-lts-arm64",
    "ubuntu-2604-lts-arm64", "axion-v3", "my-image-aarch64", "golden", "cosmic", "debian-golden", "rheology-arm64",
]  # fmt: skip


@pytest.mark.parametrize("name", UNFIT)
def test_systems_without_what_engines_need_are_known_by_their_names(name: str) -> None:
    public = load_catalog().images.public_projects
    assert is_unfit(name)
    for reference in (name, f"debian-cloud/{name}", f"projects/rocky-linux-cloud/global/images/family/{name}"):
        assert image_problem(reference, public) == (
            "not a system that engines run on, which are Ubuntu 24.04, or Debian 12 or newer"
        )
    assert image_problem(f"projects/mine/global/images/{name}", public) is None, "of one's own it may be anything"


@pytest.mark.parametrize("name", FIT)
def test_others_pass(name: str) -> None:
    assert image_problem(f"debian-cloud/{name}", load_catalog().images.public_projects) is None


def test_the_catalogs_own_image_passes() -> None:
    catalog = load_catalog()
    assert image_problem(catalog.images.default, catalog.images.public_projects) is None


def test_the_documentation_states_the_same() -> None:
    text = (REPOSITORY / "docs" / "operations.md").read_text()
    (table,) = re.findall(r"## What a host must be\n(.*?)\n## ", text, re.DOTALL)
    for fact in ("Python 3.11 to 3.14", f"systemd {SYSTEMD_MIN}", "glibc 2.28", "Ubuntu 24.04", "Debian 12"):
        assert fact in table
