"""Put a release on a host under its name, complete or not at all; switch to it in one step; forget old ones."""

import io
import tarfile
from collections.abc import Iterable, Sequence

from build.command import Command
from build.target import Target
from deployment.release import RenderedFile

KEPT_RELEASES = 5


def upload_commands(target: Target, name: str, files: Iterable[RenderedFile], build: str) -> list[Command]:
    """Unpack under a temporary name, then rename: a release that has its name is whole."""
    draft, final = f"{target.root}/releases/.{name}.new", target.release(name)
    directories = [f"{target.root}/{each}" for each in ("releases", "run", "state", "logs")]
    # On a host of its own engines are not root and read what root put there; here everything is this user's alone.
    is_shared = target.runner == "systemd"
    mode = "0755" if is_shared else "0700"
    share = Command(argv=("chmod", "-R", "a+rX", "--", draft), what="let engines read the release")
    # Of any name: the deployment that comes after an interrupted one has another time in its name.
    drafts = ("find", f"{target.root}/releases", "-mindepth", "1", "-maxdepth", "1", "-name", ".*.new")
    return [
        Command(argv=("mkdir", "-p", "-m", mode, "--", target.root, *directories), what="make the directories"),
        Command(argv=(*drafts, "-exec", "rm", "-rf", "--", "{}", "+"), what="clear interrupted uploads"),
        Command(argv=("mkdir", "-m", mode, "--", draft), what="begin the release"),
        Command(argv=("tar", "-x", "-C", draft), what="upload the release", stdin=archive(files), timeout_s=300),
        *([share] if is_shared else []),
        Command(argv=("ln", "-s", f"../../builds/{build}", f"{draft}/build"), what="name its engine environment"),
        Command(argv=("mv", "-T", "--", draft, final), what="finish the release"),
    ]


def switch_commands(target: Target, name: str, *, link: str = "current") -> list[Command]:
    """Point `current` (or `confirmed`) at a release; readers see the old one or the new one, never none."""
    draft = f"{target.root}/.{link}.new"
    return [
        Command(argv=("ln", "-sfn", f"releases/{name}", draft), what=f"prepare {link}"),
        Command(argv=("mv", "-T", "--", draft, f"{target.root}/{link}"), what=f"switch {link} to {name}"),
    ]


def confirm_commands(target: Target, name: str) -> list[Command]:
    """Remember that every model of a release answered, now and for a later rollback."""
    mark = f"{target.root}/answered/{name}"
    remember = Command(argv=("install", "-D", "-m", "0600", "/dev/null", mark), what="remember that it answered")
    return [remember, *switch_commands(target, name, link="confirmed")]


def stale_releases(releases: Iterable[str], keep: Sequence[str | None]) -> list[str]:
    """Name the releases to forget: all but the newest ones and those in use."""
    ordered = sorted(releases)
    return [name for name in ordered[:-KEPT_RELEASES] if name not in keep]


def stale_builds(builds: Iterable[str], used: Iterable[str]) -> list[str]:
    """Name the engine environments that no remaining release links to."""
    return sorted(set(builds) - set(used))


def remove_commands(target: Target, kind: str, names: Sequence[str]) -> list[Command]:
    """Delete releases or builds by name."""
    paths = [f"{target.root}/{kind}/{name}" for name in names]
    return [Command(argv=("rm", "-rf", "--", *paths), what=f"prune old {kind}", timeout_s=300)] if paths else []


def archive(files: Iterable[RenderedFile]) -> bytes:
    """Pack files into an uncompressed tar, byte for byte the same for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in sorted(files, key=lambda each: each.path):
            content = file.text.encode()
            member = tarfile.TarInfo(file.path)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()
