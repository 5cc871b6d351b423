"""What a plan says to a person and to a program: steps, sizes, kernels, packages, and what nobody has checked."""

import json
from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from build.cli import plan as task
from build.deploy.diff import Desired, Diff, decide
from build.engine.needs import NUMA, VENV, Needs
from deployment.models.sizing import HostFacts, plan
from deployment.quantities import GIB
from tests.support.deployments import deployment, model
from tests.support.hollow import checkpoint
from tests.support.hosts import DESCRIPTION, RELEASE, empty_facts, facts, system
from tests.support.published import CONFIGS
from tests.unit.build.cli.test_output import text_of

NEW = "20260201T120000-bbbbbbbb"
WANTED = Desired.described(NEW, DESCRIPTION)
SIZED = plan(deployment(), HostFacts(name="laptop", cores=2, memory_bytes=16 * GIB), "/srv/axion")


def prepared(diff: Diff, **changes: Any) -> Any:
    """As much of a prepared deployment as is shown."""
    files = {"engines/alpha.yaml": "changed", "lib/gateway/app.py": "added", "lib/gateway/b.py": "added"}
    whole = {
        "diff": diff,
        "desired": WANTED,
        "files": files,
        "facts": facts(),
        "plan": SIZED,
        "release": SimpleNamespace(files=list(range(40))),
        "deployment": deployment(),
        "pulls": (),
        "needs": Needs(things=(NUMA, VENV), gcc_min="12.0"),
        "is_installing": False,
        **changes,
    }
    return SimpleNamespace(**whole)


def test_a_first_deployment_is_told_step_by_step() -> None:
    nothing_there = empty_facts()
    assert task.steps(prepared(decide(WANTED, nothing_there), facts=nothing_there)) == [
        "build the engine environment b1",
        f"make release {NEW} of 40 files:",
        "    changed engines/alpha.yaml",
        "    added lib (2 files)",
        f"switch from nothing to {NEW}",
        "start the process runner",
        "start alpha",
        "start beta",
        "start the gateway",
        "wait until alpha, beta answer",
    ]


def test_a_change_of_some_processes_names_them() -> None:
    diff = Diff(
        is_build=False,
        is_upload=True,
        is_switch=True,
        start=("gamma",),
        restart=("alpha",),
        stop=("beta",),
        gateway="reload",
        is_runner_up=True,
        is_confirmed=False,
    )
    assert task.steps(prepared(diff, files={})) == [
        f"make release {NEW} of 40 files:",
        f"switch from {RELEASE} to {NEW}",
        "stop beta",
        "start gamma",
        "restart alpha",
        "reload the gateway",
        "wait until alpha, beta answer",
    ]


def test_a_model_that_is_not_on_the_host_is_downloaded_first() -> None:
    served = {"alpha": model(weights={"hub": "org/alpha", "revision": "0123456789abcdef" * 2 + "01234567"})}
    diff = decide(Desired.described(RELEASE, DESCRIPTION), facts())
    there = prepared(diff, deployment=deployment(models=served), pulls=("alpha",))
    assert task.steps(there) == ["download alpha: org/alpha at 0123456789ab"]
    assert task.planned_change(there).changes is True


def test_nothing_to_do_is_no_step() -> None:
    assert task.steps(prepared(decide(Desired.described(RELEASE, DESCRIPTION), facts()))) == []


def test_the_plan_for_programs_says_the_same() -> None:
    told = json.loads(json.dumps(asdict(task.planned_change(prepared(decide(WANTED, facts()))))))
    assert told["changes"] is True
    assert (told["release"], told["build"], told["is_build"]) == (NEW, "b1", False)
    assert told["files"]["engines/alpha.yaml"] == "changed"
    assert (told["start"], told["restart"], told["stop"], told["gateway"]) == ([], [], [], "keep")
    assert told["engines"]["beta"]["socket"] == "/srv/axion/run/beta.sock"
    assert told["engines"]["beta"]["cores"] == "1"
    assert (told["engines"]["beta"]["kernels"], told["engines"]["beta"]["packed_bytes"]) == ([], 0)
    assert told["free_bytes"] == SIZED.free_bytes


def packing(**more: Any) -> Any:
    """A plan with an engine that quantizes while it loads, one with an int8 head, and one without either."""
    models = {
        "alpha": model(engine={"quantization": "axion_w4"}, kernels={"lm_head": True}),
        "beta": model(kernels={"lm_head": True}),
        "gamma": model(),
    }
    chosen = deployment(models, host={"reserved_cores": 0})
    sized = plan(chosen, HostFacts(name="host", cores=4, memory_bytes=32 * GIB), "/srv/axion")
    pins = SimpleNamespace(has_kernels=lambda machine: machine == "aarch64")
    seen = facts(machine="aarch64", **more)
    return prepared(decide(WANTED, seen), facts=seen, plan=sized, recipe=SimpleNamespace(pins=pins))


def test_the_plan_names_the_kernels_of_weights_and_what_keeping_them_takes() -> None:
    alpha, beta = task.kernels(packing())
    later = "of packed weights, made at its first start and mapped at later ones"
    assert alpha.startswith("alpha: int4 weights by axion_w4 and an int8 output head; ")
    assert alpha.endswith(later)
    assert beta == f"beta: an int8 output head; 34.0 KiB {later}"


def test_the_plan_says_where_a_disk_is_too_small_for_them() -> None:
    (*_, said) = task.kernels(packing(disk_free_bytes=1000))
    assert said.startswith("the disk has 1000 B free where packed weights take up to 108.0 KiB: ")


def test_the_plan_says_nothing_of_kernels_where_there_are_none() -> None:
    one = packing()
    one.recipe.pins.has_kernels = lambda machine: False
    assert task.kernels(one) == []


def test_the_sizes_of_every_engine_are_shown_in_units() -> None:
    lines = text_of(task.sizes(prepared(decide(WANTED, facts())))).splitlines()
    assert lines[1].split()[:3] == ["alpha", "0", "1"]
    assert "64.0 MiB" in lines[1]
    # 64 MiB in sequences of 1024 tokens of 256 bytes, but for one block of 128 tokens that is never given out.
    assert lines[1].split()[-1] == "255"


def test_where_cores_are_lent_what_each_may_borrow_is_shown() -> None:
    lent = deployment(host={"reserved_cores": 0, "core_policy": "elastic"})
    sized = plan(lent, HostFacts(name="small", cores=4, memory_bytes=16 * GIB), "/srv/axion")
    lines = text_of(task.sizes(prepared(decide(WANTED, facts()), plan=sized))).splitlines()
    assert lines[0].split()[:4] == ["model", "cores", "borrows", "threads"]
    assert [line.split()[:4] for line in lines[1:3]] == [["alpha", "0", "1-3", "1"], ["beta", "1", "0,2-3", "1"]]


def test_packages_that_the_system_lacks_are_the_first_step() -> None:
    bare = facts(system=system(without=["ensurepip", "g++"]))
    there = prepared(decide(Desired.described(RELEASE, DESCRIPTION), bare), facts=bare, is_installing=True)
    assert task.steps(there) == ["install packages that bring venv, g++ 12.0 or newer"]
    told = task.planned_change(there)
    assert (told.changes, told.packages) == (True, ["python3-venv", "g++"])


def test_a_newer_compiler_that_is_only_wished_for_is_told_as_well() -> None:
    older = facts(system=system(compilers={"g++": "12.2.0"}))
    there = prepared(decide(Desired.described(RELEASE, DESCRIPTION), older), facts=older, is_installing=True)
    assert task.steps(there) == ["install a newer compiler for our kernels, if the distribution has one"]


def test_arguments_that_nobody_checked_are_said_aloud() -> None:
    bold = deployment({"alpha": model(engine={"extra_args": {"seed": 3, "hf-overrides": {"a": 1}}}), "beta": model()})
    told = prepared(decide(WANTED, facts()), deployment=bold)
    assert task.unchecked(told) == ['alpha passes on to vLLM unchecked: seed 3, hf-overrides {"a": 1}']
    assert task.unchecked(prepared(decide(WANTED, facts()))) == []
    assert task.planned_change(told).unchecked == {"alpha": {"seed": 3, "hf-overrides": {"a": 1}}, "beta": {}}


def test_a_context_that_changes_short_prompts_is_said_aloud() -> None:
    phi = {"alpha": checkpoint(CONFIGS["phi4_fast"])}
    long, short = (
        deployment({"alpha": model(engine={"max_model_len": tokens, "kv_cache_memory_bytes": "2GiB"})}, phi)
        for tokens in (4097, 4096)
    )
    assert task.stretched(prepared(decide(WANTED, facts()), deployment=long)) == [
        "alpha answers short prompts otherwise than its publisher shows: above 4096 tokens of max_model_len "
        "longrope's long factors are taken for all of them"
    ]
    assert task.stretched(prepared(decide(WANTED, facts()), deployment=short)) == []
