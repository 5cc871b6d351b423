"""The task that proposes what each model of a file should have of a machine. It asks no host."""

from collections.abc import Mapping

from build.checkpoints.stanzas import save
from build.cli import output
from build.cli.asked_load import Asked, shape_and_loads
from build.cli.capacity import BASELINE
from build.deploy.models_file import unhosted_file
from deployment.capacity.host import on_demand_note, shown_s
from deployment.capacity.load import Load
from deployment.capacity.machine import assumed
from deployment.capacity.plan import facts_of
from deployment.capacity.tune import Search, Tuned, tuned
from deployment.checkpoint.lock import lock_path, read_lock
from deployment.models.load import parse_deployment, read_models_text
from deployment.models.sizing import plan
from deployment.models.stanza import set_values

REQUESTS_PER_MIN = 8.0
"""Of all models together, where nobody says more: few enough that speed counts rather than waiting."""


def tune(models: str | None, asked: Asked, machine: str, *, write: bool) -> None:
    file = unhosted_file(models)
    text, lock = read_models_text(file), read_lock(lock_path(file))
    deployment = parse_deployment(text, file.name, lock, file.parent)
    shape, loads = shape_and_loads(machine, asked, deployment, REQUESTS_PER_MIN)
    search = Search(loads=loads, shape=shape, machine=assumed(shape.vcpus)["middle"], baseline=BASELINE)
    found = tuned(deployment, search)
    changed = text
    for name in deployment.models:
        changed = set_values(changed, name, found.changes(name))
    plan(parse_deployment(changed, file.name, lock, file.parent), facts_of(shape), "/opt/axion")
    _print(found, loads, machine)
    if write:
        save(file, changed, lock)
        print(f"{file.name}: written. `fab plan` says what that changes.")
    else:
        print(f"\n{_models_of(changed)}")
        print(f"# Nothing was written. --write writes these values into {file.name}; comments stay.")


def _models_of(text: str) -> str:
    """The models of the file, as they would be written."""
    return text[text.index("models:") :].rstrip()


def _print(found: Tuned, loads: Mapping[str, Load], machine: str) -> None:
    console = output.stdout()
    console.print(f"Modelled, not measured: {machine}, by the middle of three assumptions (docs/capacity.md).")
    console.print(
        "Better is, in this order: more models that meet their target; a smaller worst miss; faster answers that begin "
        "sooner, weighted by requests; less memory.\n"
    )
    table = output.new_table("model", "requests/min", "cores", "TTFT p95", "was", "tokens/s", "was")
    for name, each in found.outcomes.items():
        old = found.before[name] if found.before else None
        per_min = f"{loads[name].per_s * 60:.4g}"
        table.add_row(
            name,
            per_min,
            str(found.deployment.models[name].cores),
            shown_s(each.answers.ttft_p95_s),
            "does not fit" if old is None else shown_s(old.answers.ttft_p95_s),
            f"{each.answers.tokens_per_s:.1f}",
            "does not fit" if old is None else f"{old.answers.tokens_per_s:.1f}",
        )
    console.print(table)
    if note := on_demand_note(found.deployment):
        console.print(note, markup=False, soft_wrap=True)
    for name, reasons in found.why.items():
        console.print(f"{name}", style="bold", markup=False)
        for reason in (*reasons, *found.outcomes[name].problems):
            console.print(f"  {reason}", markup=False, highlight=False, soft_wrap=True)
