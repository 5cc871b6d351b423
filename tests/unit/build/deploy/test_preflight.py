"""What would make a deployment fail half-way, in the words a person reads."""

import json
from typing import Any

import pytest

from build.deploy.facts import Facts
from build.deploy.preflight import build_problems, checkpoint_problems, host_problems, kernel_problems
from build.deploy.prepare import checkpoint_paths
from build.pins import Origin
from build.remote.target import REPOSITORY, local_target
from deployment.models.load import load_deployment
from tests.support.deployments import deployment, model
from tests.support.hollow import TINY
from tests.support.hosts import RELEASE, empty_facts, facts, system

GOOD = {"texts": {"config.json": json.dumps(TINY)}, "fingerprint": "f"}
PATHS = {"alpha": "/m/alpha", "beta": "/m/beta"}
SERVED = deployment()


def problems(host: Facts | None = None, *, is_build: bool = False, **changes: Any) -> list[str]:
    found = host or empty_facts(checkpoints={"alpha": GOOD, "beta": GOOD})
    served = changes.get("served", SERVED)
    return [
        *host_problems(served, found, is_build=is_build, name="this computer"),
        *checkpoint_problems(served, found, PATHS),
    ]


def fresh(**changes: Any) -> Facts:
    return empty_facts(**{"checkpoints": {"alpha": GOOD, "beta": GOOD}, **changes})


def test_a_host_in_good_order_has_no_problem() -> None:
    assert problems(is_build=True) == []


def test_a_python_that_vllm_does_not_run_on_is_refused() -> None:
    assert problems(fresh(python="3.10.12")) == [
        "this computer: vLLM runs on Python 3.11 to 3.14, got 3.10.12. Use Ubuntu 24.04, or Debian 12 or newer."
    ]


@pytest.mark.parametrize(
    ("origin", "features", "missing"),
    [
        ("compiled", ["bf16", "i8mm", "sve2"], None),
        ("compiled", ["bf16"], "i8mm, sve2"),
        ("wheel", ["bf16", "i8mm"], None),  # an Arm laptop
        ("wheel", ["asimd"], "bf16, i8mm"),  # Tau T2A
    ],
)
def test_a_processor_that_an_engine_would_die_on_is_refused(
    origin: Origin, features: list[str], missing: str | None
) -> None:
    host = fresh(system=system(features=features))
    said = f"main: its processor lacks what the engine is built for: {missing}. Use an Axion machine (C4A or N4A)."
    assert list(build_problems(host, origin, is_compiling=False, name="main")) == ([said] if missing else [])


def test_what_has_no_memory_to_compile_in_is_told_so_unless_nothing_is_compiled() -> None:
    host = fresh(system=system(available_bytes=3 * 2**30))
    assert list(build_problems(host, "compiled", is_compiling=True, name="main")) == [
        "main: too little free memory to compile, got 3.0 GiB where 4.0 GiB are needed for one job. Stop some "
        "engines (`fab stop`), or take the engine from a wheel (--engine wheel)."
    ]
    assert list(build_problems(host, "compiled", is_compiling=False, name="main")) == []


def test_a_model_that_only_our_kernels_serve_needs_them_in_the_environment() -> None:
    online = deployment({"alpha": model(engine={"quantization": "axion_w4"}), "beta": model()})
    (problem,) = kernel_problems(online, machine="x86_64")
    assert problem.startswith("models.alpha.engine.quantization: axion_w4 is one of our kernels, ")
    assert problem.endswith('got x86_64. Add "x86_64" to kernels.machines in build/pins.toml, or delete it.')
    assert list(kernel_problems(SERVED, machine="x86_64")) == []


def test_cores_are_not_lent_without_the_plug_in() -> None:
    lent = deployment(host={"reserved_cores": 0, "core_policy": "elastic"})
    assert list(kernel_problems(lent, machine="x86_64")) == [
        "host.core_policy: our plug-in lends cores, and the environment has none, got elastic on x86_64. "
        'Add "x86_64" to kernels.machines in build/pins.toml, or write disjoint.'
    ]


def test_a_switch_of_our_kernels_needs_them_in_the_environment() -> None:
    switched = deployment({"alpha": model(kernels={"lm_head": True}), "beta": model()})
    assert list(kernel_problems(switched, machine="x86_64")) == [
        "models.alpha.kernels: the environment has none of our kernels, got x86_64. "
        'Add "x86_64" to kernels.machines in build/pins.toml, or delete it.'
    ]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"fingerprint": "f"}, []),
        (None, ['models.alpha.lora.sql.path: no such directory, got "/m/sql". Make or download the checkpoint there,']),
        (
            {**GOOD, "problems": ["no adapter. Put one there."]},
            ["models.alpha.lora.sql.path: /m/sql: no adapter. Put one"],
        ),
    ],
)
def test_an_adapter_must_be_there(found: Any, expected: list[str]) -> None:
    served = deployment({"alpha": model(lora={"sql": {"path": "sql"}})})
    host = empty_facts(checkpoints={"alpha": GOOD, "alpha/sql": found})
    said = list(checkpoint_problems(served, host, {"alpha": "/m/alpha", "alpha/sql": "/m/sql"}))
    assert len(said) == len(expected)
    assert all(real.startswith(wanted) for real, wanted in zip(said, expected, strict=True))


def test_an_address_of_another_program_is_named_with_how_to_find_that_one() -> None:
    assert problems(fresh(refused_addresses={"127.0.0.1:8080": "EADDRINUSE"})) == [
        'gateway.listen[0]: in use on this computer by another program, got "127.0.0.1:8080". '
        "Stop it (`ss -ltnp 'sport = :8080'` shows it) or choose another port."
    ]


def test_a_certificate_that_nobody_would_take_is_refused_with_what_the_host_found() -> None:
    found = (
        "/etc/tls/a.pem: cannot be read: Permission denied. Give a file in PEM.",
        "/etc/tls/a.key: no key. Give one.",
    )
    assert problems(fresh(tls_problems=found)) == [
        "gateway.tls: on this computer: /etc/tls/a.pem: cannot be read: Permission denied. Give a file in PEM.",
        "gateway.tls: on this computer: /etc/tls/a.key: no key. Give one.",
    ]


@pytest.mark.parametrize(
    ("why", "expected"),
    [
        ("EACCES", "ports below 1024 need root on this computer, got LISTEN. Choose one from 1024 on."),
        (
            "EADDRNOTAVAIL",
            "no address of this computer, got LISTEN. Give one that `ip -brief address` shows there, or 0.0.0.0 for "
            "all of them.",
        ),
        ("EPERM", "nothing can listen there on this computer, got LISTEN: EPERM. Choose another address."),
    ],
)
def test_an_address_that_is_refused_says_why(why: str, expected: str) -> None:
    assert problems(fresh(refused_addresses={"127.0.0.1:8080": why})) == [
        f"gateway.listen[0]: {expected}".replace("LISTEN", '"127.0.0.1:8080"')
    ]


def test_the_address_of_our_own_gateway_is_ours() -> None:
    assert problems(facts(checkpoints={"alpha": GOOD, "beta": GOOD})) == []


def test_an_address_that_a_dead_gateway_had_may_be_another_programs_now() -> None:
    for state in ("FATAL", "STARTING"):  # a gateway that keeps trying holds nothing either
        gone: dict[str, Any] = {
            "gateway": None,
            "served_addresses": [],
            "runner": {"gateway": {"state": state, "pid": 0}},
        }
        assert len(problems(facts(checkpoints={"alpha": GOOD, "beta": GOOD}, **gone))) == 1


@pytest.mark.parametrize("address", ["127.0.0.1:8080", "0.0.0.0:8080"])
def test_an_address_that_our_own_gateway_holds_is_not_another_programs(address: str) -> None:
    """Whatever `current` is: also when nothing of a release can be read."""
    there = facts(checkpoints={"alpha": GOOD, "beta": GOOD}, gateway=None, current=None)
    assert problems(there, served=deployment(gateway={"listen": [address]})) == []


def test_an_address_of_ours_is_ours_whatever_became_of_the_release_that_asked_for_it() -> None:
    emptied: dict[str, Any] = {
        "gateway": None,
        "releases": {},
        "unread": {RELEASE: {"why": "no JSON", "outline": None, "is_damaged": True}},
        "files": {},
        "runner": None,
    }
    assert problems(facts(checkpoints={"alpha": GOOD, "beta": GOOD}, **emptied)) == []


def test_the_demonstrations_models_are_made_by_make_demo() -> None:
    file = REPOSITORY / "examples" / "demo" / "models.yaml"
    demonstration = load_deployment(file)
    paths = checkpoint_paths(demonstration, local_target(), file)
    made = dict.fromkeys(paths)
    named = ("smollm2", "smollm2-135m-instruct"), ("tiny_qwen2", "tiny-qwen2"), ("tiny_phi3", "tiny-phi3")
    assert list(checkpoint_problems(demonstration, fresh(checkpoints=made), paths)) == [
        f'models.{name}.weights.path: no such directory, got "{REPOSITORY}/out/demo/models/{folder}". '
        "Run `make demo`, which makes the demonstration's models."
        for name, folder in (*named, ("tiny_gemma3", "tiny-gemma3"))
    ]


def test_only_the_addresses_that_the_running_release_serves_are_ours() -> None:
    served = deployment(gateway={"listen": ["127.0.0.1:8080", "127.0.0.1:8082"]})
    refused = dict.fromkeys(("127.0.0.1:8080", "127.0.0.1:8082"), "EADDRINUSE")
    found = facts(checkpoints={"alpha": GOOD, "beta": GOOD}, refused_addresses=refused)
    (sentence,) = problems(found, served=served)
    assert sentence.startswith('gateway.listen[1]: in use on this computer by another program, got "127.0.0.1:8082".')


def test_a_checkpoint_that_is_not_there_is_named_unless_the_deployment_downloads_it() -> None:
    commit = "0123456789012345678901234567890123456789"
    served = deployment({"alpha": model(), "beta": model(weights={"hub": "a/b", "revision": commit})})
    assert problems(fresh(checkpoints={"alpha": None, "beta": None}), served=served) == [
        'models.alpha.weights.path: no such directory, got "/m/alpha". '
        "Make or download the checkpoint there, or correct the path.",
    ]


def test_half_a_checkpoint_is_none() -> None:
    half = {"problems": ["no config.json. Put a whole checkpoint there.", "another. Do so."], "fingerprint": "f"}
    assert problems(fresh(checkpoints={"alpha": half, "beta": GOOD})) == [
        "models.alpha.weights: /m/alpha: no config.json. Put a whole checkpoint there.",
        "models.alpha.weights: /m/alpha: another. Do so.",
    ]


def test_a_checkpoint_of_another_shape_is_refused_before_an_engine_starts() -> None:
    config = {**TINY, "vocab_size": 1000, "num_hidden_layers": 3}
    other = {**GOOD, "texts": {"config.json": json.dumps(config)}}
    assert problems(fresh(checkpoints={"alpha": other, "beta": GOOD})) == [
        "models.alpha.weights: /m/alpha is not what the lock file says, got num_hidden_layers 3 where 2 is locked; "
        "vocab_size 1000 where 512 is locked. Point weights at the right checkpoint, or run "
        "`fab models-update alpha`."
    ]


@pytest.mark.parametrize(
    ("free", "is_build", "is_enough"),
    [
        (9 * 2**30 + 64 * 2**20, True, True),
        (9 * 2**30 + 64 * 2**20 - 1, True, False),
        (64 * 2**20, False, True),
        (64 * 2**20 - 1, False, False),
    ],
)
def test_disk_has_to_hold_the_release_and_a_new_environment(free: int, is_build: bool, is_enough: bool) -> None:
    assert (problems(fresh(disk_free_bytes=free), is_build=is_build) == []) is is_enough


def test_too_little_disk_is_said_with_both_sizes() -> None:
    assert problems(fresh(disk_free_bytes=2**30), is_build=True) == [
        "this computer: too little free disk, got 1.0 GiB where 9.1 GiB are needed. "
        "Free some, or prune old releases and builds."
    ]


def on(place: str, **changes: int) -> dict[str, Any]:
    """A file system with plenty of everything, unless a change says otherwise."""
    plenty = {"bytes": 10**12, "free_bytes": 10**11, "inodes": 10**7, "free_inodes": 10**6}
    return {"place": place, "mount": place, **plenty, **changes}


@pytest.mark.parametrize(
    ("left", "is_build", "needed"),
    [(511, False, 512), (512, False, None), (120_511, True, 120_512), (120_512, True, None)],
)
def test_a_disk_has_to_have_an_inode_for_each_file(left: int, is_build: bool, needed: int | None) -> None:
    host = fresh(disks=[on("/opt/axion", free_inodes=left)])
    said = (
        f"this computer: too few free inodes at /opt/axion, got {left} of 10000000 where {needed} are needed, one for "
        "each file. Remove files there, or use a file system with more of them (mkfs -N)."
    )
    assert problems(host, is_build=is_build) == ([said] if needed else [])


def test_a_file_system_that_counts_no_inodes_has_enough() -> None:
    host = fresh(disks=[on("/opt/axion", inodes=0, free_inodes=0), on("/tmp", inodes=0, free_inodes=0)])
    assert problems(host, is_build=True) == []


def test_every_other_place_that_is_written_to_is_asked_for_room_too() -> None:
    host = fresh(
        disks=[
            on("/opt/axion"),
            on("/tmp", free_bytes=100_000, bytes=300_000_000),
            on("/etc/systemd/system", free_inodes=3),
        ]
    )
    step = "Make room there: a deployment writes a little to it."
    assert problems(host) == [
        f"this computer: /tmp is full: 0.1 MB of 300.0 MB free. {step}",
        f"this computer: /etc/systemd/system is full: 3 of 10000000 inodes (one for each file) free. {step}",
    ]


def test_everything_is_reported_at_once() -> None:
    host = empty_facts(
        python="3.10.12", refused_addresses={"127.0.0.1:8080": "EADDRINUSE"}, disk_free_bytes=0, checkpoints={}
    )
    assert len(problems(host)) == 5  # Python, an address, two checkpoints, the disk
