"""Which directories of a host can hold everything that a deployment puts there.

Units see little of a host (templates/systemd): ProtectHome= hides homes, PrivateTmp= shows another /tmp, and what lies
in memory is gone after a boot. The path itself stands in units, in PYTHONPATH and in the names of Unix sockets.
"""

import re
from pathlib import PurePosixPath

# Of sockaddr_un.sun_path's 107 bytes (unix(7)) `/run/`, a model's name of 31 letters and `.sock` take 41.
LONGEST = 66
KIND = (
    "an absolute path to a directory of its own that stays, such as /opt/axion, /srv/axion or /data/axion, of letters, "
    f"digits and . _ - and at most {LONGEST} of them"
)
OTHERS = frozenset(
    [
        *("bin", "boot", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "lost+found"),
        *("proc", "root", "run", "sbin", "snap", "sys", "tmp", "usr", "var"),
    ]
)
"""Top directories of which nothing is ours to take: systemd.exec(5), file-hierarchy(7)."""
PARENTS = frozenset(("/", "/media", "/mnt", "/opt", "/srv", "/var/lib", "/var/local", "/var/opt"))
"""What holds directories of many programs: ours goes below, not there."""
TEMPORARY = ("/tmp", "/var/tmp")  # noqa: S108 - to refuse them
WORDS = {
    "home": "below a home, which services do not see",
    "root": "below a home, which services do not see",
    "tmp": "in a directory of temporary files",
    "run": "in memory, gone at the next boot",
}


def host_root(text: str) -> str:
    """Return a host's directory as the toolkit writes it. Raises ValueError saying why it cannot be one."""
    if not text:
        raise ValueError("empty")
    if not text.startswith("/"):
        raise ValueError("relative")
    if ".." in text.split("/") or "." in text.split("/"):
        raise ValueError("with . or .. in it")
    path = "/" + "/".join(part for part in text.split("/") if part)
    if not re.fullmatch(r"/|(/[A-Za-z0-9._][A-Za-z0-9._-]*)+", path):
        raise ValueError("with characters that units or search paths take for something else")
    if problem := unfit(path):
        raise ValueError(problem)
    if len(path) > LONGEST:
        raise ValueError(f"{len(path)} characters long, too long for the sockets in it")
    return path


def local_root(path: str, *, holds: tuple[str, ...]) -> str:
    """Return a directory of this computer, resolved. Raises ValueError where it is not one for a deployment alone.

    Processes here see what their user sees: homes and temporary directories will do. `holds` names directories, such
    as the user's home, that neither it nor what is above it may be.
    """
    if not path.isprintable():
        raise ValueError("with characters that no terminal shows")
    parts = PurePosixPath(path).parts
    is_shared = path in PARENTS or path in TEMPORARY or any(_is_within(each, path) for each in holds)
    if is_shared or (len(parts) == 2 and parts[1] in OTHERS):
        raise ValueError("a directory that many programs share")
    if parts[1] in ("boot", "dev", "etc", "proc", "sys"):
        raise ValueError("a directory of the system's own")
    return path


def _is_within(path: str, directory: str) -> bool:
    return PurePosixPath(path).is_relative_to(directory)


def unfit(path: str) -> str | None:
    """Say why the directory at an absolute path belongs to others or does not last; None where it may be ours."""
    if path in PARENTS:
        return "a directory that many programs share"
    top, *below = PurePosixPath(path).parts[1:]
    if top == "var" and any(path.startswith(f"{parent}/") for parent in PARENTS if parent != "/"):
        return None
    if top == "var" and below[:1] == ["tmp"]:
        return WORDS["tmp"]
    if top == "var" and below[:1] == ["run"]:
        return WORDS["run"]
    return WORDS.get(top, "a directory of the system's own") if top in OTHERS else None
