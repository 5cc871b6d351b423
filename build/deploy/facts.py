"""What a host is and what it runs, and what follows from that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.protocol import ProbeOrder, ProbeResult, ReleaseDescription, TlsFiles
from build.engine.needs import things_to_look_for
from build.errors import ConnectionLostError, DeployError, NoConnectionError
from build.remote.command import Command
from build.remote.executor import Executor, check
from build.remote.minimum import LOOK, refuse_unfit
from build.remote.target import Target


@dataclass(frozen=True)
class Facts(ProbeResult):
    """One look at a host."""

    @property
    def running(self) -> Mapping[str, str]:
        """Unit digest of each engine that runs."""
        return {name: engine.unit_digest for name, engine in self.engines.items()}

    @property
    def edited_files(self) -> tuple[str, ...]:
        """Paths of the current release that are no longer as they were rendered."""
        release = self.release(self.current)
        wanted = release.files if release else {}
        return tuple(
            sorted(path for path in wanted.keys() | self.files.keys() if wanted.get(path) != self.files.get(path))
        )

    @property
    def ordered(self) -> tuple[str, ...]:
        """Names of the releases, oldest first, by the host's own count. Names begin with somebody's clock.

        Releases from before there was a count come first, by name, as do those that do not even tell their number.
        """
        return tuple(sorted((*self.releases, *self.unread), key=lambda name: (self._sequence(name), name)))

    @property
    def next_sequence(self) -> int:
        """The number of the release that is made next. The newest ones are never pruned, so none is given twice."""
        return max(map(self._sequence, self.ordered), default=0) + 1

    def _sequence(self, name: str) -> int:
        release = self.release(name) or self.unread[name].outline
        return release.sequence if release else 0

    def release(self, name: str | None) -> ReleaseDescription | None:
        """Describe a release; None for one that is not there, or not understood."""
        return self.releases.get(name or "")

    @property
    def unread_sentences(self) -> tuple[str, ...]:
        """Name each release that is not understood, and why."""
        return tuple(f"release {self.unread_problem(name)}" for name in self.unread)

    def unread_problem(self, name: str) -> str:
        """Say why a release is passed over, and who can read it."""
        unread = self.unread[name]
        step = "nobody can" if unread.is_damaged else "a checkout as new as the one that made it can"
        return f"{name}: its release.json cannot be read: {unread.why}. It is passed over; {step}."

    @property
    def ageless(self) -> tuple[str, ...]:
        """Releases that a newer checkout can read and that do not tell us how old they are: not ours to forget."""
        return tuple(name for name, each in self.unread.items() if each.outline is None and not each.is_damaged)

    def build_of(self, name: str) -> str | None:
        """The engine environment that a release runs on; None where it does not even tell that."""
        known = self.release(name) or self.unread[name].outline
        return known.build if known else None


class UnmountedError(DeployError):
    """The data disk is not where it belongs. At a boot it may still come."""


def refuse_unmounted(target: Target, facts: Facts) -> None:
    """Refuse a host whose data disk is away: whatever went to its place would be hidden, or lost, once it is back.

    Raises UnmountedError, and alone: all else that such a host shows is about the wrong disk.
    """
    if target.boot_log is not None and not facts.is_mount:
        raise UnmountedError(
            f"{target.name}: the data disk is not mounted, got the boot disk at {target.root}. Read what its startup "
            f"script says (lines with `axion:`), `{target.boot_log}`, correct that, and start the host anew."
        )


def probe_command(
    target: Target, checkpoints: Mapping[str, str], listen: Sequence[str], tls: TlsFiles | None = None
) -> Command:
    """Ask a host for its facts."""
    order = ProbeOrder(
        root=target.root,
        runner=target.runner,
        checkpoints=checkpoints,
        listen=tuple(listen),
        system=things_to_look_for(LOOK),
        tls=tls,
    )
    return target.agent.command("probe", order.to_json(), what="look at the host", timeout_s=300)


def gather(executor: Executor, command: Command, *, name: str = "this computer") -> Facts:
    """Run a probe and parse what it printed. Raises DeployError; of a host that cannot serve, with all reasons."""
    try:
        return Facts.from_json(check(executor, command).stdout)
    except (ConnectionLostError, NoConnectionError):
        raise
    except (DeployError, ValueError):
        refuse_unfit(executor, command.argv[0], name)
        raise
