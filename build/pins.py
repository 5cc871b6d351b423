"""The typed form of pins.toml, and the digest that names the environment made from it."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from build.errors import DeployError
from deployment.errors import why

PINS = Path(__file__).with_name("pins.toml")
CONSTRAINTS = Path(__file__).with_name("engine-constraints.txt")

RECIPE = 4
"""Raise it when environment.py or stub_dist.py installs something different from the same pins."""

Origin = Literal["compiled", "wheel"]
"""Where an engine comes from: compiled on its host from vLLM's sources, or a wheel that others have compiled."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="the 64 hex digits of the file's SHA-256")]
Version = Annotated[str, Field(pattern=r"^\d+(\.\d+)+(\.?(post|dev|rc)\d+)?$", description="a version such as 2.13.0")]
Tag = Annotated[str, Field(pattern=r"^v\d+(\.\d+)+$", description="a release tag such as v52.6.0")]
Commit = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", description="the 40 hex digits of a commit")]
GitUrl = Annotated[
    str, Field(pattern=r"^https://\S+/[A-Za-z0-9_-]+\.git$", description="an https address ending in .git")
]
HttpsUrl = Annotated[str, Field(pattern=r"^https://\S+$", description="an https address")]
Exactly = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*==\d+(\.\d+)*$", description="NAME==VERSION")]
DistributionName = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="a normalized package name")]


class Frozen(BaseModel):
    """A value: immutable, and a key that is not a field is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


class PinnedFile(Frozen):
    """One distribution file, known by its content."""

    name: DistributionName
    version: Version
    sha256: Sha256

    @property
    def requirement(self) -> str:
        """The line of a requirements file that accepts this file and no other."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


class Vllm(Frozen):
    version: Version
    sdist_sha256: Sha256
    build_requires: tuple[Exactly, ...] = Field(strict=False)
    wheels: Mapping[str, PinnedFile] = Field(description="binary builds by machine, as `uname -m` names it")


class Torch(Frozen):
    version: Version
    cpu_index_url: HttpsUrl
    torchvision: Version


class Acl(Frozen):
    repository: GitUrl
    tag: Tag
    commit: Commit | None = None


class Onednn(Frozen):
    repository: GitUrl
    aarch64: Commit
    x86_64: Tag


class Compiler(Frozen):
    gcc_min: Version
    gcc_wanted: Version
    gcc_runtime_min: Mapping[str, Version] = Field(description="by machine, where torch's compiler asks for one")

    def runtime_min(self, machine: str) -> str:
        """The oldest compiler that a serving engine can use, and that compiles our kernels."""
        return self.gcc_runtime_min.get(machine, "1.0")


class ReleasedTool(Frozen):
    """A program that its maker publishes as an archive; `{version}` in an address is filled in."""

    version: Version
    url: HttpsUrl
    sha256: Sha256 | None = None
    checksums_url: HttpsUrl | None = None

    @model_validator(mode="after")
    def _is_verifiable(self) -> Self:
        if self.sha256 is None and self.checksums_url is None:
            raise ValueError("one of sha256 and checksums_url is needed")
        return self


class Kernels(Frozen):
    machines: tuple[str, ...] = Field(strict=False)


class Pins(Frozen):
    """Everything that pins.toml says."""

    def has_kernels(self, machine: str) -> bool:
        """Whether environments of this machine get axion_kernels."""
        return machine in self.kernels.machines

    vllm: Vllm
    torch: Torch
    acl: Acl
    onednn: Onednn
    compiler: Compiler
    kernels: Kernels
    pip: PinnedFile
    demo_tools: tuple[PinnedFile, ...] = Field(strict=False)
    demo_weights: PinnedFile
    pulumi: ReleasedTool
    gcloud: ReleasedTool


def load_pins(path: Path) -> Pins:
    """Read and validate pins.toml; DeployError carries every mistake in it."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeployError(f"{path.name}: cannot be read: {why(error)}. Restore {path} from the checkout.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeployError(f"{path.name}: is not TOML: {error}. Correct that line.") from None
    try:
        return Pins.model_validate_json(json.dumps(document, default=str))
    except ValidationError as error:
        raise DeployError.of(_problem(path.name, detail) for detail in error.errors()) from None


def _problem(file: str, detail: Mapping[str, object]) -> str:
    location = detail["loc"]
    assert isinstance(location, tuple)
    where = f"{file}: {'.'.join(str(part) for part in location if part != '[key]')}"
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key, got {detail['input']!r}. Remove it, or correct its spelling."
    if detail["type"] == "missing":
        return f"{where}: missing. Add it."
    return f"{where}: {detail['msg']}, got {detail['input']!r}. Correct it."


def environment_digest(
    pins: Pins, constraints_text: str, *, machine: str, python: str, origin: Origin, kernels: str = ""
) -> str:
    """Name an environment: 16 hex digits that change exactly when something that ends up in it changes.

    `kernels` is the digest of the sources of axion_kernels; it counts where those are compiled. `python` counts up to
    its minor version, which is what compiled packages are tied to. Where torch comes from does not count: every source
    has the same version, and the manifest says which one it was.
    """
    facts = {
        "recipe": RECIPE,
        "machine": machine,
        "python": ".".join(python.split(".")[:2]),
        "constraints": sorted(constraint_lines(constraints_text)),
        "torch": pins.torch.version,
        "torchvision": pins.torch.torchvision,
        "vllm": pins.vllm.version,
        "build": _build_facts(pins, machine, origin),
        **({"kernels": kernels} if pins.has_kernels(machine) else {}),
    }
    canonical = json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def constraint_lines(text: str) -> tuple[str, ...]:
    """The constraints themselves, without comments and blank lines."""
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in text.splitlines())
    return tuple(line for line in lines if line)


def _build_facts(pins: Pins, machine: str, origin: Origin) -> dict[str, object]:
    """A ready wheel is known by its checksum; a compiled one by all that went into it."""
    if origin == "wheel":
        return {"wheel": pins.vllm.wheels[machine].sha256}
    return {
        "sdist": pins.vllm.sdist_sha256,
        "tools": sorted(pins.vllm.build_requires),
        "acl": pins.acl.commit or pins.acl.tag,
        "onednn": pins.onednn.aarch64 if machine == "aarch64" else pins.onednn.x86_64,
        "gcc": [pins.compiler.gcc_min, pins.compiler.gcc_wanted],
    }
