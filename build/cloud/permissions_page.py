"""docs/permissions.md, from the table: `python -m build.cloud.permissions_page > docs/permissions.md`."""

from collections.abc import Iterator

from build.cloud.permissions import ELSEWHERE, FAB, PULUMI, Need

HEAD = """# Permissions

Who runs `pulumi up` and `pulumi destroy`, and who runs `fab`, may be two accounts. `fab doctor --stack STACK` asks
Google what both of them may do on the project, and names what is missing with the roles that give it. An account that
holds the roles below on the project has all that is needed; a custom role with the permissions alone has, too.

This page is written by `python -m build.cloud.permissions_page`; the table is `build/cloud/permissions.py`.
"""
TAIL = """An organisation that makes accounts, roles, subnets and keys itself needs to grant less: see `serviceAccount`,
`axion:stopRole`, `axion:network.subnetwork` and `axion:kmsKey` in `Pulumi.yaml`. What is granted on single resources,
such as a subnet of another project, no question to the project shows: the doctor then only warns.
"""


def page() -> str:
    """The whole document."""
    parts = [HEAD, "## `pulumi up`, `pulumi destroy`, `pulumi refresh`\n", _table(PULUMI), "## `fab`\n", _table(FAB)]
    rows = [f"| {what} | {role} | {when} |" for what, role, when in ELSEWHERE]
    parts += ["## Elsewhere\n", "\n".join(("| For | Role | When |", "|---|---|---|", *rows)) + "\n", TAIL]
    return "\n".join(parts)


def _table(needs: tuple[Need, ...]) -> str:
    return "\n".join(("| For | Role | When | Permissions |", "|---|---|---|---|", *_rows(needs))) + "\n"


def _rows(needs: tuple[Need, ...]) -> Iterator[str]:
    for need in needs:
        yield f"| {need.what} | `{need.role}` | {need.when} | {', '.join(_short(need.permissions))} |"


def _short(permissions: tuple[str, ...]) -> Iterator[str]:
    """Permissions of one collection together: `compute.disks`: create, get."""
    collections: dict[str, list[str]] = {}
    for permission in permissions:
        collection, _, verb = permission.rpartition(".")
        collections.setdefault(collection, []).append(verb)
    for collection, verbs in collections.items():
        yield f"`{collection}.{verbs[0]}`" if len(verbs) == 1 else f"`{collection}.{{{','.join(verbs)}}}`"


if __name__ == "__main__":
    print(page(), end="")
