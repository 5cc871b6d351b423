"""The task that reads anew what changes without us: regions, machine types and prices."""

from datetime import UTC, datetime

from agent.durable import replace_file
from build.cloud.billing_catalog import compute_skus
from build.cloud.gcloud import Gcloud
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from deployment.stack.catalog import LOCK, load_catalog
from deployment.stack.catalog_lock import catalog_of, changes, lock_from, lock_text

LIST_TIMEOUT_S = 180.0


def catalog_refresh(project: str) -> None:
    reporter, gcloud = Reporter(), Gcloud(LocalExecutor(), project)
    kinds = "|".join(sorted(load_catalog().series))
    words = ("compute", "machine-types", "list", f"--filter=name~^({kinds})-")
    machine_types = gcloud.ask("list the machine types", *words, timeout_s=LIST_TIMEOUT_S)
    skus = compute_skus(gcloud)
    lock, untold = lock_from(machine_types, skus, datetime.now(UTC).date().isoformat())
    said = list(changes(load_catalog(), catalog_of(lock)))
    replace_file(LOCK, lock_text(lock), mode=0o644)
    for line in (*said, *(f"left out: {each}" for each in untold)):
        print(f"{line}.")
    count = f"{len(machine_types)} machine types, {len(skus)} SKUs"
    reporter.say(f"{LOCK.name}: {len(said)} changes, from {count}, in {reporter.elapsed_s:.1f} s.", style="bold green")
