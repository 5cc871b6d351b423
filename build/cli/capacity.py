"""The task that says which load a deployment can serve, on which machines, and at what price. It asks no host."""

import json as json_module
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.table import Table

from build.benchmark.document import SCHEMA, read_report
from build.benchmark.points import points_of
from build.cli import output
from build.cli.asked_load import Asked, shape_and_loads
from build.cli.output import usd
from build.cli.stacks import settings_of
from build.deploy.models_file import unhosted_file
from build.errors import DeployError
from build.remote.target import REPOSITORY
from deployment.capacity.calibration import Calibration, by_model, calibrated, read_points
from deployment.capacity.explain import arithmetic
from deployment.capacity.host import Outcome, on_demand_note, outcomes, queues_of, shown_s
from deployment.capacity.load import Load
from deployment.capacity.machine import Machine, assumed
from deployment.capacity.plan import (
    Choice,
    alone,
    cheapest,
    choices,
    facts_of,
    usd_per_million,
)
from deployment.document import read_text
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.models.sizing import plan
from deployment.models.spec import Deployment
from deployment.stack.catalog import Catalog, load_catalog
from deployment.stack.pricing import machine_hourly_usd
from deployment.stack.shape import Shape

BASELINE = REPOSITORY / "kernels" / "bench" / "baseline.json"
MACHINE, REGION = "c4a-standard-32", "us-central1"
MODELLED = "Modelled, not measured. In brackets: by the lowest and the highest of three assumptions (docs/capacity.md)."


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure by the low, middle and high assumption; None where it has no end."""

    low: float | None
    middle: float | None
    high: float | None


def capacity(models: str | None, asked: Asked, machine: str | None, stack: str | None, *, json: bool) -> None:
    file = unhosted_file(models)
    deployment, catalog = load_deployment(file), load_catalog()
    machine_type, region = _place(machine, stack)
    shape, loads = shape_and_loads(machine_type, asked, deployment)
    plan(deployment, facts_of(shape), "/opt/axion")
    by = {
        name: outcomes(queues_of(deployment, loads, each, BASELINE), loads)
        for name, each in assumed(shape.vcpus).items()
    }
    together = list(choices(deployment, loads, region, catalog, BASELINE))
    apart = {
        name: cheapest(list(choices(alone(deployment, name), {name: loads[name]}, region, catalog, BASELINE)))
        for name in deployment.models
        if loads[name].per_s
    }
    if json:
        output.print_json(_data(shape, region, by, together, apart, loads))
        return
    console = output.stdout()
    console.print(f"{MODELLED}\n", markup=False)
    console.print(f"{file.name} on one {machine_type}:", style="bold", markup=False)
    console.print(_outcome_table(by))
    if note := on_demand_note(deployment):
        console.print(note, markup=False, soft_wrap=True)
    for name, each in by["middle"].items():
        for what in each.problems:
            console.print(f"{name} {what}.", style="yellow", markup=False)
    console.print(_price(shape, region, catalog, loads, by["middle"]), markup=False)
    _print_choices(together, apart, region, loads)
    _print_arithmetic(deployment, loads, cheapest(together))


def capacity_measured(
    models: str | None, asked: Asked, measured: str, *, beside: str | None = None, json: bool = False
) -> None:
    """The host that was measured, by its own figures. `beside` is a machine or stack that was named as well."""
    if beside is not None:
        raise DeployError(f"--measured: answers for the host that it measured, got {beside} too. Leave that out.")
    deployment = load_deployment(unhosted_file(models))
    loads, file = asked.loads(deployment), Path(measured)
    try:
        said = json_module.loads(read_text(file))
    except ValueError:
        raise DeployError(f"{file}: not JSON. Give the points of a benchmark.") from None
    is_report = isinstance(said, dict) and said.get("schema") == SCHEMA
    points = points_of(read_report(file), file.name) if is_report else read_points(said, file.name)
    queues = queues_of(deployment, loads, Machine(vcpus=points.vcpus), BASELINE)
    problems: list[str] = []
    found: dict[str, Calibration] = {}
    measured_models = by_model(points, deployment.models)
    for name, own in measured_models.items():
        try:
            found[name] = each = calibrated(name, queues[name].engine, own)
        except ConfigError as error:
            problems += error.problems
            continue
        queues[name] = replace(queues[name], engine=replace(queues[name].engine, machine=each.machine))
        beyond = each.beyond(concurrency=queues[name].most, prompt_tokens=loads[name].work.prompt_tokens)
        problems += [f"{name}: {beyond}"] if beyond else []
    problems += [f"{name}: not measured. Measure it, or ask nothing of it." for name in queues
                 if name not in measured_models and loads[name].per_s]  # fmt: skip
    if problems:
        raise DeployError(*problems)
    by = outcomes({name: queues[name] for name in found}, {name: loads[name] for name in found})
    if json:
        output.print_json(_measured_data(file.name, by, found))
        return
    console = output.stdout()
    console.print(f"Modelled from {len(points.points)} measurements in {file.name}.\n", markup=False)
    console.print(_outcome_table({"low": by, "middle": by, "high": by}))
    for name, each in found.items():
        held = each.held_out
        words = (
            "too few to keep any" if held is None else f"{held.throughput:.0%} for tokens/s, {held.ttft:.0%} for TTFT"
        )
        console.print(f"{name}: error on points that were not fitted: {words}.", markup=False)
        for what in by[name].problems:
            console.print(f"{name} {what}.", style="yellow", markup=False)


def _place(machine: str | None, stack: str | None) -> tuple[str, str]:
    """Which machine, and whose prices: a stack's, where one is named."""
    if stack is None:
        return machine or MACHINE, REGION
    settings = settings_of(stack)
    types = {host.machine_type for host in settings.hosts.values()}
    if machine is None and len(types) > 1:
        raise DeployError(f"--stack: its hosts differ, got {', '.join(sorted(types))}. Add --machine TYPE.")
    return machine or types.pop(), settings.region


def _outcome_table(by: Mapping[str, Mapping[str, Outcome]]) -> Table:
    table = output.new_table(
        "model", "requests/min", "threads", "GB/s", "used", "TTFT", "TTFT p95", "tokens/s of each", "alone"
    )
    for name, each in by["middle"].items():
        if not each.load.per_s:
            continue
        low, high = by["low"][name], by["high"][name]
        three = (each.answers, low.answers, high.answers)
        table.add_row(
            name,
            f"{each.load.per_s * 60:g}",
            str(each.threads),
            f"{each.bytes_per_s / 1e9:.0f}",
            _spread([f"{answers.used:.0%}" for answers in three]),
            shown_s(each.answers.ttft_s),
            _spread([shown_s(answers.ttft_p95_s) for answers in three]),
            _spread([f"{answers.tokens_per_s:.1f}" if answers.tokens_per_s else "none" for answers in three]),
            _spread([f"{outcome.alone_tokens_per_s:.0f}" for outcome in (each, low, high)]),
        )
    return table


def _spread(said: Sequence[str]) -> str:
    """The middle one, with low and high behind it where they differ."""
    middle, low, high = said
    return middle if low == middle == high else f"{middle} \\[{low}, {high}]"


def _price(shape: Shape, region: str, catalog: Catalog, loads: Mapping[str, Load], found: Mapping[str, Outcome]) -> str:
    missed = any(each.problems for each in found.values())
    amounts = [machine_hourly_usd(shape, region, purchase, catalog) for purchase in ("on_demand", "spot")]
    hourly = f"{usd(amounts[0])} USD/hour on demand, {usd(amounts[1])} spot, in {region}"
    if missed:
        return f"One {shape.machine_type} does not meet this load ({hourly})."
    million = [usd(usd_per_million(amount, loads)) for amount in amounts]
    return f"One {shape.machine_type} meets it: {hourly}; {million[0]} and {million[1]} USD a million tokens."


def _print_choices(
    together: Sequence[Choice], apart: Mapping[str, Choice | None], region: str, loads: Mapping[str, Load]
) -> None:
    console = output.stdout()
    console.print(f"\nFewest hosts that meet it, all models on each, by the prices of {region}:", style="bold")
    table = output.new_table("machine", "hosts", "USD/hour", "spot", "USD/1M tokens", "spot", "cores")
    for each in together:
        table.add_row(*_choice_row(each, loads))
    console.print(table)
    if not together:
        console.print("None: no size of machine meets a target, or has the memory, with any number of hosts.")
    if len(apart) > 1:
        console.print("\nCheapest with hosts of its own for each model:", style="bold")
        table = output.new_table("model", "machine", "hosts", "USD/hour", "spot", "USD/1M tokens", "spot", "cores")
        for name, choice in apart.items():
            if choice is None:
                table.add_row(name, "none meets it")
            else:
                table.add_row(name, *_choice_row(choice, {name: loads[name]}))
        console.print(table)
    console.print(_verdict(together, apart), style="bold", markup=False)


def _choice_row(choice: Choice, loads: Mapping[str, Load]) -> list[str]:
    fleet_, prices = choice.fleet, (choice.on_demand_usd, choice.spot_usd)
    most = choice.hosts_low if choice.hosts_low is not None else "none"
    return [
        fleet_.shape.machine_type,
        _spread([str(fleet_.hosts), str(most), str(choice.hosts_high)]),
        *(usd(price) for price in prices),
        *(usd(usd_per_million(price, loads)) for price in prices),
        "+".join(str(cores) for cores in fleet_.cores.values()),
    ]


def _verdict(together: Sequence[Choice], apart: Mapping[str, Choice | None]) -> str:
    best, own = cheapest(list(together)), [each for each in apart.values() if each is not None]
    own_usd = sum(each.on_demand_usd or 0.0 for each in own) if len(own) == len(apart) > 1 else None
    if best is None and own_usd is None:
        return "No machine type meets this load as modelled: relax a target, or lower lengths."
    if best is None or (own_usd is not None and own_usd < (best.on_demand_usd or 0.0)):
        return f"Cheapest: hosts of its own for each model, {usd(own_usd)} USD/hour."
    return (
        f"Cheapest: {best.fleet.hosts} x {best.fleet.shape.machine_type}, {usd(best.on_demand_usd)} USD/hour. "
        f"`fab tune --machine {best.fleet.shape.machine_type}` proposes what each model should have of it."
    )


def _print_arithmetic(deployment: Deployment, loads: Mapping[str, Load], best: Choice | None) -> None:
    """Of the cheapest number of hosts, as if each model had the memory to itself."""
    if best is None:
        return
    console, fleet_ = output.stdout(), best.fleet
    console.print(f"\nArithmetic of {fleet_.hosts} x {fleet_.shape.machine_type}:", style="bold", markup=False)
    for name, queue in fleet_.queues(deployment, assumed(fleet_.shape.vcpus)["middle"], BASELINE).items():
        if loads[name].per_s:
            for line in arithmetic(name, queue, fleet_.outcomes[name].load, fleet_.hosts):
                console.print(line, markup=False, soft_wrap=True, highlight=False)


def _data(
    shape: Shape,
    region: str,
    by: Mapping[str, Mapping[str, Outcome]],
    together: Sequence[Choice],
    apart: Mapping[str, Choice | None],
    loads: Mapping[str, Load],
) -> Mapping[str, object]:
    """The same for programs."""

    def priced(choice: Choice | None, asked: Mapping[str, Load]) -> Mapping[str, object] | None:
        if choice is None:
            return None
        return {
            "machine": choice.fleet.shape.machine_type,
            "hosts": choice.fleet.hosts,
            "hosts_low": choice.hosts_low,
            "hosts_high": choice.hosts_high,
            "cores": dict(choice.fleet.cores),
            "hourly_usd": choice.on_demand_usd,
            "hourly_spot_usd": choice.spot_usd,
            "usd_per_million_tokens": usd_per_million(choice.on_demand_usd, asked),
        }

    return {
        "schema": "axion.capacity/1",
        "modelled": True,
        "machine": shape.machine_type,
        "region": region,
        "models": _models_data(by),
        "all_models_on_each_host": [priced(each, loads) for each in together],
        "own_hosts": {name: priced(choice, {name: loads[name]}) for name, choice in apart.items()},
    }


def _models_data(by: Mapping[str, Mapping[str, Outcome]]) -> Mapping[str, Mapping[str, object]]:
    """Each model's answers, for programs. Times without an end are null."""

    def spread(name: str, figure: str) -> Spread:
        values = [getattr(by[each][name].answers, figure) for each in ("low", "middle", "high")]
        low, middle, high = (None if value == float("inf") else value for value in values)
        return Spread(low=low, middle=middle, high=high)

    figures = ("used", "ttft_s", "ttft_p95_s", "tokens_per_s")
    return {
        name: {
            **{figure: asdict(spread(name, figure)) for figure in figures},
            "requests_per_min": each.load.per_s * 60,
            "problems": list(each.problems),
        }
        for name, each in by["middle"].items()
    }


def _measured_data(file: str, by: Mapping[str, Outcome], found: Mapping[str, Calibration]) -> Mapping[str, object]:
    """The answer for a measured host, for programs: `error` is that on points that were not fitted."""
    models = _models_data({"low": by, "middle": by, "high": by})
    return {
        "schema": "axion.capacity/1",
        "modelled": True,
        "measured": file,
        "models": {name: {**models[name], "error": held and asdict(held)}
                   for name, held in ((name, each.held_out) for name, each in found.items())},
    }  # fmt: skip
