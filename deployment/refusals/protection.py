"""The next step when Pulumi refuses to delete what holds data. Pure.

Pulumi itself advises `pulumi state unprotect`, after which the next `pulumi up` deletes the disk.
"""

import re

from deployment.refusals.next_steps import MOVE, found

NO_UNPROTECT = "Do not run `pulumi state unprotect`: the next change would delete it."


def protected(text: str) -> str:
    """What would be lost, and the ways that lose nothing."""
    what, name, host = _data(text)
    undo = "the bucket or the project" if host is None else "the host's zone, its data disk's type or size, or the host"
    keep = f" To change the zone and keep the data: {MOVE.replace('HOST', host)}." if host else ""
    return (
        f"This change would delete the {what} {name} and all that is on it. Undo it in the stack's file ({undo}).{keep}"
        f" To lose it, name it: `axion:deleteData: [{name}]`. {NO_UNPROTECT}"
    )


def kept(text: str) -> str:
    """The same at a destroy. Targets and `--exclude-protected` as executed with CLI 3.259."""
    what, name, _ = _data(text)
    resource = found(r"::([\w-]+)['\"]", text) or "NAME"
    return (
        f"The {what} {name} stays, with all that is on it. To remove everything else: `pulumi destroy --stack NAME "
        f"--exclude-protected`. To lose it too, first name it, `axion:deleteData: [{name}]`, and run `pulumi up "
        f"--stack NAME --target '**::{resource}'`. {NO_UNPROTECT}"
    )


def _data(text: str) -> tuple[str, str, str | None]:
    """What kind of thing holds the data, its name in the cloud, and its host (infra/model_store.py)."""
    disk = re.search(r"urn:pulumi:([^:]+)::[^'\"]*?gcp:compute/disk:Disk::[\w-]*?data-([a-z0-9]+)\b", text)
    if disk:
        return "data disk", f"axion-{disk[1]}-data-{disk[2]}", disk[2]
    bucket = re.search(r"urn:pulumi:([^:]+)::[^'\"]*?gcp:storage/bucket:Bucket::", text)
    return ("bucket", f"axion-{bucket[1]}-PROJECT", None) if bucket else ("resource", "ITS-NAME", None)
