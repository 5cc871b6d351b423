"""A release: every file of a deployment, and the digests that decide what has to restart for it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from agent.protocol import GatewayFile, ReleaseDescription

GATEWAY_CONFIG = "gateway.json"
GATEWAY_CODE = "lib/"
"""It, and what launches engines: in no engine's digest, so that a change there counts from its next start."""
DESCRIPTION = "release.json"
# Of a host under systemd: these units are part of what a process runs, so that a change of them restarts it.
ENGINE_UNIT = "systemd/vllm@.service"
GATEWAY_UNITS = ("gateway.service", "gateway.socket", "gateway-handover.service", "gateway-keys.service")
# In memory and outside every release: no disk, no snapshot and no list of files holds a key.
KEYS_FILE = "/run/axion/gateway-key-digests"
OWN_KEY_FILE = "/run/axion/gateway-own-key"


def resources_path(engine: str) -> str:
    """Name the drop-in with an engine's cores, memory and watchdog."""
    return f"systemd/vllm@{engine}.service.d/50-resources.conf"


def order_path(engine: str) -> str:
    """Name the drop-in that says after whom an engine loads."""
    return f"systemd/vllm@{engine}.service.d/20-order.conf"


def template_path(engine: str) -> str:
    """Name the chat template that an engine has of its own."""
    return f"engines/{engine}.jinja"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedFile:
    """One file of a release, by its path below the release's directory."""

    path: str
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Files and what they mean for running processes. Equal inputs give an equal digest on every machine."""

    files: tuple[RenderedFile, ...]
    build: str
    """Digest of the engine environment."""
    units: Mapping[str, str]
    """Per engine, and for `gateway`, a digest of all that needs a restart to take effect."""
    gateway_config_digest: str
    """What the gateway takes over by a reload."""
    on_demand: tuple[str, ...] = ()
    """Engines that the gateway has started, and not the deployment."""

    @property
    def digest(self) -> str:
        return digest_of({file.path: file.digest for file in self.files}, self.build, dict(self.units))

    @property
    def engines(self) -> Mapping[str, str]:
        return {name: digest for name, digest in self.units.items() if name != "gateway"}

    def text(self, path: str) -> str:
        return next(file.text for file in self.files if file.path == path)

    def name(self, stamp: str) -> str:
        """Name a release made at `stamp`, such as 20260131T120000, for people: the clock is an operator's."""
        return f"{stamp}-{self.digest[:8]}"

    def description(self, *, created_at: str, source: str, sequence: int, follows: str | None) -> RenderedFile:
        """Write down what a host needs to know about the release without reading all of it.

        `sequence` counts the host's releases, and `follows` names the one that served when this one was made.
        """
        described = ReleaseDescription(
            digest=self.digest,
            created_at=created_at,
            source=source,
            build=self.build,
            units=self.units,
            gateway_config_digest=self.gateway_config_digest,
            files={file.path: file.digest for file in self.files},
            listen=GatewayFile.from_json(self.text(GATEWAY_CONFIG)).addresses,
            sequence=sequence,
            follows=follows,
            on_demand=self.on_demand,
        )
        return RenderedFile(path=DESCRIPTION, text=described.to_json(indent=1) + "\n")


def compose(
    files: Iterable[RenderedFile], *, build: str, engines: Iterable[str], fingerprints: Mapping[str, str]
) -> Release:
    """Put rendered files together. `fingerprints` stand for the checkpoints: other weights mean another engine."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    by_path = {file.path: file.digest for file in ordered}
    units = {
        name: digest_of(
            by_path[f"engines/{name}.yaml"],
            by_path[f"engines/{name}.env"],
            build,
            fingerprints.get(name, ""),
            *_present(by_path, template_path(name), ENGINE_UNIT, resources_path(name)),
        )
        for name in engines
    }
    config = next(file.text for file in ordered if file.path == GATEWAY_CONFIG)
    code = {path: digest for path, digest in by_path.items() if path.startswith(GATEWAY_CODE)}
    runner = _present(by_path, *(f"systemd/{unit}" for unit in GATEWAY_UNITS))
    said = json.loads(config)
    units["gateway"] = digest_of(code, said["listen"], said.get("tls") is not None, build, *runner)
    on_demand = tuple(model["name"] for model in said.get("models", ()) if model.get("on_demand"))
    return Release(
        files=ordered, build=build, units=units, gateway_config_digest=by_path[GATEWAY_CONFIG], on_demand=on_demand
    )


def _present(by_path: Mapping[str, str], *paths: str) -> list[str]:
    return [by_path[path] for path in paths if path in by_path]


def digest_of(*parts: Any) -> str:
    """Digest JSON values, independent of the order of keys: 16 hex digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
