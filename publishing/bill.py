"""The bill of materials: everything that this project pins, as an SPDX 2.3 document (https://spdx.github.io/spdx-spec/v2.3).

It is read from the three files that pin: constraints.txt (whoever operates or develops), build/engine-constraints.txt
(the Python packages of an engine environment) and build/pins.toml (engine, libraries, tools). Which of these one host
has is said by that host's manifest, not here. Licences are not known to these files, and so not asserted.
"""

import datetime
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from build.pins import PinnedFile, Pins, constraint_lines, load_pins

NAME = "axion-deploy"
LICENSE = "Apache-2.0"
ROOT_ID, DOCUMENT_ID = "SPDXRef-project", "SPDXRef-DOCUMENT"
UNKNOWN = "NOASSERTION"
PINS = Path("build/pins.toml")
CONSTRAINTS = (Path("constraints.txt"), Path("build/engine-constraints.txt"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Component:
    """One thing of others, at one version; with a checksum, one file."""

    name: str
    version: str
    purl: str
    sha256: str | None = None
    location: str = UNKNOWN

    @property
    def key(self) -> str:
        """An identifier of SPDX: letters, digits, points and hyphens. A checksum tells files of one name apart."""
        words = re.sub(r"[^A-Za-z0-9.]+", "-", self.purl.removeprefix("pkg:"))
        return f"SPDXRef-{words}" + (f"-{self.sha256[:12]}" if self.sha256 else "")


def from_index(requirement: str, sha256: str | None = None) -> Component:
    """A Python package, NAME==VERSION; its purl has the normalized name, as the specification of purl asks."""
    name, _, version = requirement.partition("==")
    normal = re.sub(r"[-_.]+", "-", name).lower()
    return Component(name=normal, version=version, purl=f"pkg:pypi/{normal}@{version}", sha256=sha256)


def from_file(file: PinnedFile) -> Component:
    return from_index(f"{file.name}=={file.version}", file.sha256)


def from_git(repository: str, version: str, commit: str | None = None) -> Component:
    """Sources of which a commit is checked out, or a tag where no commit is pinned."""
    path = repository.removeprefix("https://").removesuffix(".git")
    host, owner, name = path.split("/")
    assert host == "github.com", repository
    return Component(
        name=name,
        version=version,
        purl=f"pkg:github/{owner.lower()}/{name.lower()}@{commit or version}",
        location=f"git+{repository}@{commit or version}",
    )


def pinned(pins: Pins) -> Iterator[Component]:
    """What pins.toml names."""
    yield from_index(f"vllm=={pins.vllm.version}", pins.vllm.sdist_sha256)
    yield from map(from_file, pins.vllm.wheels.values())
    yield from map(from_index, pins.vllm.build_requires)
    yield from_index(f"torch=={pins.torch.version}")
    yield from_index(f"torchvision=={pins.torch.torchvision}")
    yield from_git(pins.acl.repository, pins.acl.tag, pins.acl.commit)
    yield from_git(pins.onednn.repository, pins.onednn.aarch64)
    yield from_git(pins.onednn.repository, pins.onednn.x86_64)
    yield from map(from_file, (pins.pip, *pins.demo_tools, pins.demo_weights))
    for name, tool in (("pulumi", pins.pulumi), ("gcloud", pins.gcloud)):
        yield Component(
            name=name,
            version=tool.version,
            purl=f"pkg:generic/{name}@{tool.version}",
            sha256=tool.sha256,
            location=tool.url.format(version=tool.version),
        )


def components(repository: Path) -> Mapping[Component, tuple[str, ...]]:
    """Everything, each once, with the files that pin it."""
    found: dict[Component, tuple[str, ...]] = {}
    for file in CONSTRAINTS:
        for line in constraint_lines((repository / file).read_text(encoding="utf-8")):
            add(found, from_index(line), file)
    for component in pinned(load_pins(repository / PINS)):
        add(found, component, PINS)
    return found


def add(found: dict[Component, tuple[str, ...]], component: Component, file: Path) -> None:
    found[component] = tuple(dict.fromkeys((*found.get(component, ()), str(file))))


def document(version: str, date: datetime.date, found: Mapping[Component, Sequence[str]]) -> str:
    """The bill as JSON, byte for byte the same for the same version, date and pins."""
    listed = sorted(found.items(), key=lambda item: item[0].key)
    content = hashlib.sha256(repr([asdict(component) for component, _ in listed]).encode()).hexdigest()[:16]
    bill = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT_ID,
        "name": f"{NAME}-{version}",
        # An address of its own for each document, as the specification asks; nothing has to be found there.
        "documentNamespace": f"https://spdx.org/spdxdocs/{NAME}-{version}-{content}",
        "creationInfo": {"created": f"{date.isoformat()}T00:00:00Z", "creators": [f"Tool: {NAME}-{version}"]},
        "packages": [project(version), *(package(component, files) for component, files in listed)],
        "relationships": [*relationships(component.key for component, _ in listed)],
    }
    return json.dumps(bill, indent=1) + "\n"


def project(version: str) -> dict[str, Any]:
    """This project itself."""
    return {
        "SPDXID": ROOT_ID,
        "name": NAME,
        "versionInfo": version,
        "downloadLocation": UNKNOWN,
        "filesAnalyzed": False,
        "licenseConcluded": LICENSE,
        "licenseDeclared": LICENSE,
        "copyrightText": UNKNOWN,
    }


def package(component: Component, files: Sequence[str]) -> dict[str, Any]:
    """One component as SPDX describes it."""
    checksums = [{"algorithm": "SHA256", "checksumValue": component.sha256}] if component.sha256 else []
    return {
        "SPDXID": component.key,
        "name": component.name,
        "versionInfo": component.version,
        "downloadLocation": component.location,
        "filesAnalyzed": False,
        "licenseConcluded": UNKNOWN,
        "licenseDeclared": UNKNOWN,
        "copyrightText": UNKNOWN,
        "sourceInfo": f"pinned by {', '.join(files)}",
        **({"checksums": checksums} if checksums else {}),
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": component.purl}
        ],
    }


def relationships(keys: Iterable[str]) -> Iterator[dict[str, str]]:
    yield {"spdxElementId": DOCUMENT_ID, "relationshipType": "DESCRIBES", "relatedSpdxElement": ROOT_ID}
    for key in keys:
        yield {"spdxElementId": ROOT_ID, "relationshipType": "DEPENDS_ON", "relatedSpdxElement": key}
