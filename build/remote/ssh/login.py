"""From a login to a command of ours as root: what the login shell is given, and what stands in between, in words.

Whatever shell it is gets one line of plain characters. It starts /bin/sh, which announces itself, then becomes root
and announces itself again; only then is the command sent, on standard input. So nothing of ours is lost to a start
file that reads, nothing needs a shell's quoting, and whoever ends the login before an announcement is known by it.
"""

import re
import shlex
from dataclasses import dataclass

from build.remote.agent import source
from build.remote.command import Command

ARGUMENT_BYTES_MAX = 128 * 1024  # MAX_ARG_STRLEN of Linux
SHELL_TIMEOUT_S = 30.0
# Names that do not resolve, or a directory service that does not answer, hold sudo up for as long.
SUDO_TIMEOUT_S = 90.0
SHOWN_CHARACTERS = 160
BECOME = ("sudo", "doas")
GRANT = "Grant the account roles/compute.osAdminLogin, or, without OS Login, give the user NOPASSWD in sudoers"
# What sudo, sudo-rs and doas say in English, which they are told to speak; only the step depends on it.
STEPS = (
    (r"must have a tty", "Let it do without a terminal: `Defaults:{user} !requiretty` in a file of /etc/sudoers.d"),
    (r"(?i)expired|account.*(validation|locked)", "Renew the account there: `chage -l {user}` shows when it ended"),
    (r"password is required|not in the sudoers|not allowed|may not|[Aa]uthentication|I'm afraid|not permitted", GRANT),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who logs in where."""

    user: str
    place: str
    """What to call the host in messages."""
    python: str

    def line(self, tag: str) -> str:
        """Build what the login shell runs. The same in sh, bash, zsh, fish and tcsh: no `!`, no backslash, one line."""
        announce = f"echo {tag} %s;echo {tag} %s >&2;"
        # printf %b turns the two escapes of `order` back. `read` takes not a byte more than its line (POSIX).
        # The path of sudo (secure_path), or of a start file, may lack what every host has.
        inner = announce.replace("%s", "root") + (
            'PATH="$PATH:/usr/sbin:/usr/bin:/sbin:/bin";export PATH;umask 022;cd /;read -r o;eval "$(printf %b "$o")"'
        )
        become = 'exec /bin/sh -c "$0"'
        if self.user != "root":
            become = (
                'PATH="$PATH:/usr/local/bin:/usr/bin:/bin";LC_ALL=C;export PATH LC_ALL;'
                f'for s in {" ".join(BECOME)};do command -v $s >/dev/null&&exec $s -n -- /bin/sh -c "$0";done;'
                f"echo neither {' nor '.join(BECOME)} is there >&2;exit 127"
            )
        return f"/bin/sh -c '{announce.replace('%s', 'shell')}{become}' '{inner}'"

    def order(self, command: Command, tag: str) -> bytes:
        """Build the one line that our /bin/sh reads: the command, its bound, and what it is to find around it."""
        argv = command.argv
        if command.cwd is not None or command.env:
            place = (f"--chdir={command.cwd}",) if command.cwd is not None else ()
            argv = ("env", *place, *(f"{name}={value}" for name, value in command.env.items()), *argv)
        # The host's language is nothing that a program's answer may depend on.
        guard = ("env", "LC_ALL=C", self.python, "-I", "-c", source("guard.py"))
        words = (*guard, tag, f"{command.timeout_s:g}", *argv)
        assert max(len(word.encode()) for word in words) < ARGUMENT_BYTES_MAX, (
            f"{command.what}: long data goes by stdin"
        )
        text = f"exec {shlex.join(words)}"
        return text.replace("\\", "\\\\").replace("\n", "\\n").encode() + b"\n"

    def shell_problem(self, said: str, status: int | None) -> str:
        """Say that the login shell ran nothing: it ended with a status, or None when it still waits. Pure."""
        files = "its start files (such as ~/.bashrc)"
        if status is None:
            return (
                f"{self.place}: the login shell of {self.user} never runs a command, got "
                f"{_last(said) or 'nothing'} within {SHELL_TIMEOUT_S:g} s. Look in {files} for what waits for input or "
                "starts another program, and let it do so in a terminal only."
            )
        ending = f"exit status {status}" if status >= 0 else "its end by a signal"
        words = f", {line}" if (line := _last(said)) else ""
        return (
            f"{self.place}: the login shell of {self.user} ends before it runs a command, got {ending}{words}. "
            f"Look at {files}, and whether the account is locked or its key or sshd forces another command."
        )

    def root_problem(self, said: str, status: int | None) -> str:
        """Say why the user does not become root: refused, or None when there is still no answer. Pure."""
        if status is None:
            return (
                f"{self.place}: sudo does not finish within {SUDO_TIMEOUT_S:g} s: {_last(said) or 'it says nothing'}. "
                "Look what it waits for with `time sudo -n true`: a directory service, or a name that does not "
                "resolve."
            )
        known = [(each, step) for each in _lines(said) for pattern, step in STEPS if re.search(pattern, each)]
        line, step = known[-1] if known else (_last(said) or f"exit status {status}", GRANT)
        return f"{self.place}: {self.user} cannot become root there: {line}. {step.format(user=self.user)}."

    def python_problem(self, said: str) -> str:
        """Say that there is no interpreter to run anything with. Pure."""
        line = _last(said) or "no word"
        return f"{self.place}: no Python that runs, got {line}. Install it: {self.python}, 3.11 or newer."

    def noise(self, before: str, between: str) -> str | None:
        """Say what was skipped: of the login shell's start files, else of sudo. Pure."""
        if line := _first(before):
            what = f"{self.place}: the login shell of {self.user} prints before it runs a command, got {line}"
            return f"{what}. It is skipped; let its start files print in a terminal only."
        if line := _first(between):
            return f"{self.place}: warned when {self.user} became root, got {line}. It is no refusal, and skipped."
        return None


def _lines(said: str) -> list[str]:
    """Return lines as they can be shown: without colours and control characters, cut, and without a last full stop."""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said)
    lines = ("".join(each if each.isprintable() else " " for each in line).strip() for line in plain.splitlines())
    return [line[:SHOWN_CHARACTERS].rstrip(".") for line in lines if line]


def _first(said: str) -> str:
    return next(iter(_lines(said)), "")


def _last(said: str) -> str:
    return (_lines(said) or [""])[-1]
