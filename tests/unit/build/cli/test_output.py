"""What a person and a program see: words, tables, and no escape sequence where none is wanted."""

import json
import os
import pty
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from build.check import Check
from build.cli import output
from build.deploy.diff import Desired, Diff, decide
from build.engine.needs import NUMA, VENV, Needs
from build.remote.target import REPOSITORY
from deployment.models.sizing import HostFacts, plan
from deployment.quantities import GIB
from tests.support.deployments import deployment, model
from tests.support.hosts import DESCRIPTION, RELEASE, SEEN, empty_facts, facts

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
    assert output.steps(prepared(decide(WANTED, nothing_there), facts=nothing_there)) == [
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
    assert output.steps(prepared(diff, files={})) == [
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
    assert output.steps(there) == ["download alpha: org/alpha at 0123456789ab"]
    assert output.planned_change(there).changes is True


def test_nothing_to_do_is_no_step() -> None:
    assert output.steps(prepared(decide(Desired.described(RELEASE, DESCRIPTION), facts()))) == []


def test_the_plan_for_programs_says_the_same() -> None:
    told = json.loads(json.dumps(asdict(output.planned_change(prepared(decide(WANTED, facts()))))))
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
    alpha, beta = output.kernels(packing())
    later = "of packed weights, made at its first start and mapped at later ones"
    assert alpha.startswith("alpha: int4 weights by axion_w4 and an int8 output head; ")
    assert alpha.endswith(later)
    assert beta == f"beta: an int8 output head; 34.0 KiB {later}"


def test_the_plan_says_where_a_disk_is_too_small_for_them() -> None:
    (*_, said) = output.kernels(packing(disk_free_bytes=1000))
    assert said.startswith("the disk has 1000 B free where packed weights take up to 108.0 KiB: ")


def test_the_plan_says_nothing_of_kernels_where_there_are_none() -> None:
    one = packing()
    one.recipe.pins.has_kernels = lambda machine: False
    assert output.kernels(one) == []


def row(model: str = "alpha", **changes: Any) -> dict[str, Any]:
    (found,) = (each for each in output.status_rows(facts(**changes)) if each.model == model)
    return asdict(found)


def test_a_model_that_serves() -> None:
    served = {"state": "ready", "process": "running", "pid": 1, "up_to_date": True, "in_flight": 0, "requests": 3}
    assert row() == {"model": "alpha", **served}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gateway": None}, {"state": "unknown", "in_flight": None}),
        ({"gateway": {"unit_digest": "ug", "config_digest": "g1", "models": {}}}, {"state": "not served"}),
        ({"runner": None}, {"process": "none", "pid": None}),
        ({"runner": {"alpha": {"state": "STARTING", "pid": 5}}}, {"process": "running", "pid": 5}),
        ({"runner": {"alpha": {"state": "FATAL", "pid": 0}}}, {"process": "given up", "pid": None}),
        ({"runner": {"alpha": {"state": "BACKOFF", "pid": 0}}}, {"process": "restarting"}),
        ({"runner": {"alpha": {"state": "STOPPED", "pid": 0}}}, {"process": "stopped"}),
        ({"engines": {}}, {"up_to_date": False}),
        ({"engines": {"alpha": {"unit_digest": "u0", "pid": 1}}}, {"up_to_date": False}),
    ],
)
def test_status_says_in_words_what_is_wrong(changes: dict[str, Any], expected: dict[str, Any]) -> None:
    found = row(**changes)
    assert {key: found[key] for key in expected} == expected


def test_an_engine_that_no_release_wants_any_more_is_shown() -> None:
    stray = {"unit_digest": "u7", "pid": 70}
    assert row("stray", engines={"stray": stray})["up_to_date"] is False
    assert [each.model for each in output.status_rows(facts())] == ["alpha", "beta"]


def text_of(table: Any, width: int = 200) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def test_the_status_table_holds_every_word_of_its_rows() -> None:
    lines = text_of(output.status_table(output.status_rows(facts()))).splitlines()
    assert lines[0].split() == ["model", "state", "process", "pid", "up", "to", "date", "in", "flight", "requests"]
    assert lines[1].split() == ["alpha", "ready", "running", "1", "yes", "0", "3"]
    nobody = text_of(output.status_table(output.status_rows(facts(gateway=None, runner=None)))).splitlines()
    assert nobody[1].split() == ["alpha", "unknown", "none", "-", "yes", "-", "-"]


def test_the_sizes_of_every_engine_are_shown_in_units() -> None:
    lines = text_of(output.sizes(prepared(decide(WANTED, facts())))).splitlines()
    assert lines[1].split()[:3] == ["alpha", "0", "1"]
    assert "64.0 MiB" in lines[1]
    # 64 MiB in sequences of 1024 tokens of 256 bytes, but for one block of 128 tokens that is never given out.
    assert lines[1].split()[-1] == "255"


def test_where_cores_are_lent_what_each_may_borrow_is_shown() -> None:
    lent = deployment(host={"reserved_cores": 0, "core_policy": "elastic"})
    sized = plan(lent, HostFacts(name="small", cores=4, memory_bytes=16 * GIB), "/srv/axion")
    lines = text_of(output.sizes(prepared(decide(WANTED, facts()), plan=sized))).splitlines()
    assert lines[0].split()[:4] == ["model", "cores", "borrows", "threads"]
    assert [line.split()[:4] for line in lines[1:3]] == [["alpha", "0", "1-3", "1"], ["beta", "1", "0,2-3", "1"]]


@pytest.mark.parametrize(
    "finding", ["[/usr/lib/x.so]", "listen[0] [red]x[/] [Errno 2]", "mistral_common[image]", "a\\"]
)
def test_a_finding_is_shown_as_it_is(finding: str) -> None:
    """Logs of engines stand in findings, and may look like markup."""
    table = output.checks_table([Check("answers", "fail", finding)])
    assert text_of(table).splitlines()[1].rstrip().split(maxsplit=2) == ["answers", "fail", finding]


def test_a_state_that_looks_like_markup_is_shown_as_it_is() -> None:
    seen = {"alpha": {**SEEN["alpha"], "state": "[/x]"}}
    rows = output.status_rows(facts(gateway={"unit_digest": "ug", "config_digest": "g1", "models": seen}))
    assert "[/x]" in text_of(output.status_table(rows))


PRINT = """
from build.cli import output
from build.progress import Reporter
from tests.support.hosts import facts
output.stdout().print(output.status_table(output.status_rows(facts())))
output.stdout().print("dim words", style="dim")
reporter = Reporter()
reporter.say("green words", style="bold green")
with reporter.phase("A phase") as phase:
    phase.part("alpha", "loading")
"""


def environment(**changes: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "TERM": "xterm-256color", **changes}


def printed_on_a_terminal(**changes: str) -> str:
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", PRINT]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment(**changes), stdout=follower, stderr=follower)
    os.close(follower)
    seen = b""
    try:
        while piece := os.read(leader, 65536):
            seen += piece
    except OSError:  # Linux says so when the last writer is gone
        pass
    finally:
        os.close(leader)
    assert process.wait(30) == 0, seen
    return seen.decode()


def test_a_pipe_gets_whole_lines_and_no_escape_sequence() -> None:
    command = [sys.executable, "-c", PRINT]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=30)  # noqa: PLW1510
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "alpha" in done.stdout
    assert "A phase ...\n  alpha: loading\nA phase: 0.0 s\n" in done.stderr


def test_a_terminal_with_no_color_gets_none() -> None:
    seen = printed_on_a_terminal(NO_COLOR="1")
    assert "\x1b" not in seen
    assert "green words" in seen


def test_a_terminal_gets_colour() -> None:
    assert "\x1b[1;32mgreen words" in printed_on_a_terminal()


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"a": ["[red]", None]})
    assert json.loads(capsys.readouterr().out) == {"a": ["[red]", None]}
    assert Path(output.__file__).is_relative_to(REPOSITORY)
