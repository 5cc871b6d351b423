"""Ways to log in to a host: a user each, with a shell, start files and rights of its own, on one machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.support.machines.machine import Machine

NOPASSWD = "{name} ALL=(ALL) NOPASSWD: ALL"


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """One way, and what a person is told about it."""

    name: str
    what: str
    """In words, for the table."""
    program: str = "/bin/bash"
    """Its login shell."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Start files in its home, by name."""
    sudoers: str | None = NOPASSWD
    sshd: str = ""
    """What sshd_config says of this user."""
    told: str | None = None
    """What a person reads of it, after the host's name: of noise that was skipped, or of what stopped it."""


def add_logins(machine: Machine, logins: tuple[Login, ...]) -> None:
    """Make the users of a machine that runs, and let sshd know of them."""
    public = (machine.directory / "identity.pub").read_text()
    matches = []
    for each in logins:
        machine.output("useradd", "--create-home", f"--shell={each.program}", each.name)
        home = machine.root / "home" / each.name
        for name, text in ((".ssh/authorized_keys", public), *each.files.items()):
            (home / name).parent.mkdir(parents=True, exist_ok=True)
            (home / name).write_text(text)
        machine.output("chown", "-R", f"{each.name}:", f"/home/{each.name}")
        if each.sudoers is not None:
            rule = machine.root / "etc" / "sudoers.d" / each.name
            rule.write_text(f"{each.sudoers.format(name=each.name)}\n")
            rule.chmod(0o440)
        if each.sshd:
            matches.append(f"Match User {each.name}\n  {each.sshd}\n")
    (machine.root / "etc" / "ssh" / "sshd_config.d" / "zz-logins.conf").write_text("".join(matches))
    machine.output("visudo", "--check")
    machine.output("systemctl", "reload", "ssh")
