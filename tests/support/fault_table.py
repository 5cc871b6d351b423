"""Every create of every resource fails once with each fault: what is said, and how the stack comes right again.

Each `up` of the project's own program breaks every create that has not failed yet: so all that can be created fails,
and the next `up` gets one step further, from the network to the instance and its right to stop itself.
`python -m tests.support.fault_table` prints the table; tests/integration/pulumi/test_faults.py expects it, literally.
"""

import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployment.refusals.diagnostics import Failure, failures
from tests.support.fakes.cloud.server import Cloud, running
from tests.support.faulted_stack import HOW_MANY, METHODS, NEEDS, everything, held, kinds_in_state
from tests.support.gcloud_on_cloud import fab, recovery_environment
from tests.support.pulumi_stack import HOW_TO_GET_IT, PulumiStack, find_cli

COLUMNS = ("quota", "stock-out", "permission", "API off", "request lost", "answer lost")
RUNS_OUT = ("Disk", "Instance")
REPEATED = frozenset({"IAMMember", "SecretIamMember", "BucketIAMMember", "InstanceIAMMember"})
TIMEOUT_S = "4"
"""Of one resource, where twenty minutes are usual."""
AT_ONCE = 2
UPS_MAX = 10


def plant(cloud: Cloud, column: str, kind: str) -> None:
    """Break every create of one type."""
    method = METHODS[kind].replace(".", r"\.")
    if column == "quota":
        cloud.plant(method=method, nth=0, **_quota(kind))
    elif column == "stock-out":
        cloud.plant(method=method, nth=0, kind="stockout")
    elif column in {"permission", "API off"}:
        cloud.plant(method=method, nth=0, kind="permission" if column == "permission" else "disabled")
    else:
        cloud.plant(method=method, nth=0, kind="hang", after_work=column == "answer lost")


def _quota(kind: str) -> dict[str, Any]:
    """Google's words: at the end of an operation for processors, at once for counted things and for calls a minute."""
    service, collection = METHODS[kind].split(".")[0], METHODS[kind].split(".")[-2]
    if kind == "Instance":
        return {"kind": "quota"}
    if METHODS[kind].startswith("compute.") and METHODS[kind].endswith(".insert"):
        message = f"Quota '{collection.upper()}' exceeded.  Limit: 5.0 globally."
        return {"kind": "error", "code": 403, "reason": "quotaExceeded", "message": message}
    message = (
        "Quota exceeded for quota metric 'Write requests' and limit 'Write requests per minute' of service "
        f"'{service}.googleapis.com' for consumer 'project_number:123456789012'."
    )
    return {"kind": "error", "code": 429, "reason": "rateLimitExceeded", "message": message}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What became of each type under one fault, and everything that was not as it should be."""

    name: str
    cells: dict[str, str]
    wrong: list[str]


def column(name: str, cli: Path, base: Path) -> Column:
    """Bring the whole stack up against one fault."""
    left = list(RUNS_OUT if name == "stock-out" else METHODS)
    cells, wrong = dict.fromkeys(METHODS, "cannot"), []
    failed: dict[str, set[str]] = {kind: set() for kind in left}
    with running() as cloud:
        stack = everything(base, cli, cloud)
        stack.more_environment["AXION_FAKE_TIMEOUT_S"] = TIMEOUT_S
        for _ in range(UPS_MAX):
            if not left:
                break
            found, problems = broken_up(stack, name, left)
            wrong += [f"{name}: {problem}" for problem in problems]
            imported = recovered(stack) if name == "answer lost" else None
            for each in found:
                kind = each.kind.rpartition(":")[2]
                failed[kind].add(each.name)
                cells[kind] = each.error.kind.name + _settled(kind, each.name, imported)
            left = [kind for kind in left if len(failed[kind]) < HOW_MANY[kind]]
        wrong += [f"{name}: {kind} has not failed" for kind in left]
        wrong += [f"{name}: {problem}" for problem in converged(stack)]
    return Column(name=name, cells=cells, wrong=wrong)


def _settled(kind: str, name: str, imported: str | None) -> str:
    if imported is None:
        return ""  # the next `up` creates it
    return ", imported" if f"import {kind} {name} " in imported else ", repeated" if kind in REPEATED else ", lost"


def broken_up(stack: PulumiStack, name: str, left: Sequence[str]) -> tuple[list[Failure], list[str]]:
    """One `up` with everything in `left` broken: what failed, and what was not as it should be."""
    cloud = stack.cloud
    for kind in left:
        plant(cloud, name, kind)
    began = len(cloud.requests)
    ran = stack.up("--continue-on-error", "--parallel", "32", check=False)
    cloud.faults.clear()
    asked = {request["method"] for request in cloud.requests[began:]}
    problems = [
        f"{kind} was asked for before the {need}"
        for kind, needs in NEEDS.items()
        for need in needs
        if METHODS[kind] in asked and need in left
    ]
    # With --continue-on-error the CLI also complains about dependents whose inputs will never be known.
    found = [each for each in failures(ran.said) if "Error creating" in each.text]
    if ran.status == 0 or not found:
        problems.append(f"exit {ran.status}, expected failures\n{ran.said}")
    state = held(stack)
    problems += [f"in the state and not in the cloud: {each}" for each in state.ghosts]
    if name != "answer lost":
        problems += [f"in the cloud and not in the state: {each}" for each in state.orphans]
    return found, problems


def recovered(stack: PulumiStack) -> str:
    """`fab recover --yes`, with the real gcloud."""
    environment = recovery_environment(stack)
    done = fab("recover", "--stack", stack.name, "--yes", project=stack.folder, environment=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout or "nothing"


def converged(stack: PulumiStack) -> Iterator[str]:
    """The next `up` ends well, each thing is there once, and nothing is left to do."""
    last = stack.up("--parallel", "32", check=False)
    if last.status != 0:
        yield f"the last up failed\n{last.said}"
        return
    now = held(stack)
    yield from (f"orphan {each}" for each in now.orphans)
    yield from (f"not in the cloud: {each}" for each in now.ghosts)
    if kinds_in_state(stack) != HOW_MANY:
        yield f"the state has {kinds_in_state(stack)}"
    if changes := stack.plan():
        yield f"not settled: {changes}"


def fault_table(cli: Path, base: Path) -> list[Column]:
    """All columns, two at a time."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda pair: column(pair[1], cli, base / str(pair[0])), enumerate(COLUMNS)))


def shown(columns: Sequence[Column]) -> str:
    """The table as text."""
    rows = [("resource", *(each.name for each in columns))]
    rows += [(kind, *(each.cells[kind] for each in columns)) for kind in METHODS]
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main() -> int:
    """Print it; 1 when something was not as it should be."""
    cli = find_cli()
    if cli is None:
        print(f"pulumi: not found. {HOW_TO_GET_IT}", file=sys.stderr)
        return 1
    if shutil.which("gcloud") is None:
        print("gcloud: not found. Install it: https://cloud.google.com/sdk/docs/install", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        columns = fault_table(cli, Path(folder))
    print(shown(columns))
    wrong = [problem for each in columns for problem in each.wrong]
    print(
        "\n".join(wrong) or "Each fault met every create once; then everything was there once, and no change is left."
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
