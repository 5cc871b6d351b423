"""A host's disks, when they are full: which one, and of what; and the little that is kept for the way back."""

from collections.abc import Iterator
from contextlib import contextmanager

from agent.protocol import Room, RoomAnswer, RoomOrder
from agent.room import TEMPORARY, amount, lack
from build.errors import ConnectionLostError, DeployError, NoConnectionError
from build.remote.command import Command
from build.remote.executor import check
from build.remote.host import Host
from build.remote.target import Target

NO_ROOM = ("No space left on device", "Disk quota exceeded")
AGAIN = "then run the same command again: models keep serving, and it finishes what this one began"


def places(target: Target) -> tuple[str, ...]:
    """Where a deployment writes, first what all of it needs."""
    own = (target.root, TEMPORARY)
    return (*own, "/etc/systemd/system", "/var") if target.runner == "systemd" else own


@contextmanager
def full_disks_named(host: Host) -> Iterator[None]:
    """Where something fails on a host with a full disk, name that disk first. What programs say of it is no help."""
    try:
        yield
    except (ConnectionLostError, NoConnectionError):
        raise
    except DeployError as error:
        is_said, is_named = any(words in str(error) for words in NO_ROOM), " is full, got" in str(error)
        found = full_disks(host, is_said=is_said and not is_named)
        if not found:
            raise
        raise DeployError(*found, *error.problems) from None


def full_disks(host: Host, *, is_said: bool) -> list[str]:
    """Name each full disk of a host. `is_said`: something there had no room; it may have made some when it failed."""
    rooms = _look(host)
    said = {each.place: lacking for each in rooms if (lacking := lack(each)) is not None}
    name = host.target.name
    if said or not is_said:
        return [f"{name}: {place} is full: {lacking}. Make room there, {AGAIN}." for place, lacking in said.items()]
    now = ", ".join(f"{amount(each.free_bytes)} at {each.place}" for each in rooms)
    return [f"{name}: a disk was full: {NO_ROOM[0]}, and now {now or 'no answer'} free. Make room there, {AGAIN}."]


def _look(host: Host) -> tuple[Room, ...]:
    """Ask for each file system; none where the host does not answer: what failed before is what counts."""
    try:
        return RoomAnswer.from_json(check(host.executor, look_command(host.target)).stdout).rooms
    except (DeployError, ValueError):
        return ()


def look_command(target: Target) -> Command:
    """Ask how much room there is."""
    order = RoomOrder(places(target))
    return target.agent.command("room", order.to_json(), what="look at the disks", timeout_s=30)


def keep_command(target: Target) -> Command:
    """Take some blocks and an inode while there are some, once: the way back to what served needs them.

    Written over where it lies, it needs nothing anew.
    """
    words = (f"of={_kept(target)}", "bs=64K", "count=16", "conv=notrunc,fsync", "status=none")
    return Command(argv=("dd", "if=/dev/zero", *words), what="keep room for the way back")


def use_command(target: Target) -> Command:
    """Give them free."""
    return Command(argv=("rm", "-f", "--", _kept(target)), what="use the room for the way back")


def _kept(target: Target) -> str:
    return f"{target.root}/state/way.back"  # no engine has a name with a dot
