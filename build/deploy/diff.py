"""What has to happen on a host so that it serves a release: decided from facts, nothing touched."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agent.protocol import ReleaseDescription
from build.deploy.facts import Facts
from build.runtime.diff import GatewayStep, ProcessDiff
from deployment.render.release import GATEWAY_CODE, GATEWAY_UNITS, Release


@dataclass(frozen=True, slots=True, kw_only=True)
class Desired:
    """What a host shall run: a release just rendered, or one read back from the host."""

    release: str
    build: str
    engines: Mapping[str, str]
    """Unit digest of each engine."""
    gateway_unit: str
    gateway_config_digest: str
    address: str
    """Where the gateway answers."""
    on_demand: frozenset[str] = frozenset()
    """Engines that the gateway has started: a deployment starts none of them."""

    @classmethod
    def rendered(cls, release: Release, name: str, address: str) -> "Desired":
        """Want a release that this checkout rendered."""
        return cls(
            release=name,
            build=release.build,
            engines=release.engines,
            gateway_unit=release.units["gateway"],
            gateway_config_digest=release.gateway_config_digest,
            address=address,
            on_demand=frozenset(release.on_demand),
        )

    @classmethod
    def described(cls, name: str, description: ReleaseDescription) -> "Desired":
        """Want a release that the host has, by its release.json."""
        return cls(
            release=name,
            build=description.build,
            engines=description.engines,
            gateway_unit=description.units["gateway"],
            gateway_config_digest=description.gateway_config_digest,
            address=description.listen[0],
            on_demand=frozenset(description.on_demand),
        )

    @property
    def always(self) -> Mapping[str, str]:
        """The engines that always run."""
        return {name: digest for name, digest in self.engines.items() if name not in self.on_demand}


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff(ProcessDiff):
    """The difference between a host and what is wanted of it."""

    is_build: bool
    is_upload: bool
    is_switch: bool
    restart: tuple[str, ...]
    stop: tuple[str, ...]
    is_confirmed: bool
    """Whether the models of this very release have all answered before."""
    repair: tuple[str, ...] = ()
    """Units that somebody edited, removed or disabled: they are installed again."""
    prove: tuple[str, ...] = ()
    """Models on demand that have never answered as they are now: each is loaded once."""

    @property
    def is_nothing(self) -> bool:
        moves = (self.is_build, self.is_upload, self.is_switch, self.start, self.restart, self.stop, self.repair)
        return not any((*moves, self.unload)) and self.gateway == "keep" and self.is_confirmed


def release_name(release: Release, facts: Facts, *, stamp: str) -> str:
    """Name a release: as the current one, if that is byte for byte the same, else anew.

    A current release whose files were edited by hand counts as different: what runs is always what was rendered.
    """
    present = facts.release(facts.current)
    if facts.current and present and present.digest == release.digest and not file_changes(release, facts):
        return facts.current
    return release.name(stamp)


def file_changes(release: Release, facts: Facts) -> dict[str, str]:
    """Name each path that differs from the host's current release, with `added`, `changed` or `removed`."""
    desired, present = {file.path: file.digest for file in release.files}, facts.files
    changed = {path: "changed" for path, digest in desired.items() if path in present and present[path] != digest}
    added = dict.fromkeys(desired.keys() - present.keys(), "added")
    removed = dict.fromkeys(present.keys() - desired.keys(), "removed")
    return dict(sorted({**changed, **added, **removed}.items()))


def decide(desired: Desired, facts: Facts) -> Diff:
    """Compare what is wanted with what a host has and, process by process, with what it runs."""
    running, edited = facts.running, _edited_engines(facts)
    changed = tuple(
        name for name, digest in desired.engines.items()
        if name in running and (running[name] != digest or name in edited)
    )  # fmt: skip
    start = tuple(name for name in desired.always if name not in running)
    # One that always runs gets its memory first: what is loaded on demand comes back when it is asked for.
    unload = tuple(name for name in running if name in desired.on_demand and (start or name in changed))
    proven = facts.release(facts.confirmed)
    known = proven.units if proven else {}
    return Diff(
        is_build=desired.build not in facts.builds,
        is_upload=desired.release not in facts.releases,
        is_switch=desired.release != facts.current,
        start=start,
        restart=tuple(name for name in changed if name not in desired.on_demand),
        unload=unload,
        prove=tuple(
            name for name, digest in desired.engines.items() if name in desired.on_demand and known.get(name) != digest
        ),
        stop=tuple(name for name in running if name not in desired.engines),
        gateway=_gateway_step(desired, facts),
        is_runner_up=facts.runner is not None,
        is_confirmed=facts.confirmed == desired.release,
        repair=tuple(dict.fromkeys(each.unit for each in facts.troubles if each.kind in ("edited", "disabled"))),
    )


def _edited_engines(facts: Facts) -> frozenset[str]:
    """Name engines whose files were edited by hand: they may run the edited ones under the digest of the rendered."""
    units = _edited_units(facts)
    if "vllm@.service" in units:
        return frozenset(facts.running)
    own = (unit[len("vllm@") : -len(".service")] for unit in units if unit.startswith("vllm@"))
    return frozenset((*own, *(Path(path).stem for path in facts.edited_files if path.startswith("engines/"))))


def _edited_units(facts: Facts) -> frozenset[str]:
    return frozenset(each.unit for each in facts.troubles if each.kind == "edited")


def _gateway_step(desired: Desired, facts: Facts) -> GatewayStep:
    if facts.gateway is None:
        return "start"
    is_code_edited = any(path.startswith(GATEWAY_CODE) for path in facts.edited_files)
    is_code_edited |= not _edited_units(facts).isdisjoint(GATEWAY_UNITS)
    if facts.gateway.unit_digest != desired.gateway_unit or is_code_edited:
        return "restart"
    if facts.gateway.config_digest != desired.gateway_config_digest:
        return "reload"
    return "keep"
