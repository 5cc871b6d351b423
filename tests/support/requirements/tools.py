"""Pulumi's CLI and gcloud, which no Debian package brings: from PATH, an archive, or the pinned release."""

import hashlib
import http.client
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import tomllib
import urllib.request
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PINS = REPOSITORY / "build" / "pins.toml"
KEPT = REPOSITORY / "out" / "tools"
TIMEOUT_S = 60.0
CHUNK_BYTES = 2**20


class ToolError(Exception):
    """A tool that is not to be had, and how to get it by hand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A program and those that have to come with it."""

    name: str
    programs: tuple[str, ...]
    variable: str
    """Names an archive of it, or the folder of an unpacked one."""
    archives: str
    """How archives of it are called where they are kept."""
    installed_by: str

    @property
    def advice(self) -> str:
        return f"Install it: {self.installed_by}, or name an archive of it in {self.variable}."


PULUMI = Tool(
    name="pulumi",
    programs=("pulumi", "pulumi-language-python"),
    variable="AXION_PULUMI_ARCHIVE",
    archives="pulumi-*linux-x64.tar.*",
    installed_by="https://www.pulumi.com/docs/install",
)
GCLOUD = Tool(
    name="gcloud",
    programs=("gcloud",),
    variable="AXION_GCLOUD_ARCHIVE",
    archives="google-cloud-*linux-x86_64.tar.*",
    installed_by="https://cloud.google.com/sdk/docs/install",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Where a tool's pinned release is, and what it must be."""

    url: str
    sha256: str | None = None
    checksums_url: str | None = None

    @classmethod
    def pinned(cls, tool: Tool, pins: Path = PINS) -> "Release":
        pin = tomllib.loads(pins.read_text(encoding="utf-8"))[tool.name]
        named = {key: pin[key].format(version=pin["version"]) for key in ("url", "checksums_url") if key in pin}
        return cls(**named, sha256=pin.get("sha256"))

    @property
    def file(self) -> str:
        return self.url.rpartition("/")[2]


def find(tool: Tool, environment: Mapping[str, str] = os.environ, kept: Path = KEPT) -> Path | None:
    """The folder with its programs: on PATH, else of an archive, which is unpacked once. Nothing is downloaded."""
    found = [shutil.which(program, path=environment.get("PATH")) for program in tool.programs]
    if found[0] is not None and all(found):
        return Path(found[0]).resolve().parent
    place = next(archives(tool, environment, kept), None)
    if place is None:
        return None
    return programs_in(tool, place if place.is_dir() else unpack(place, kept))


def archives(tool: Tool, environment: Mapping[str, str], kept: Path) -> Iterator[Path]:
    """Archives of it that there are, in the order in which they count."""
    if tool.variable in environment:
        named = Path(environment[tool.variable])
        if not named.exists():
            raise ToolError(f"{tool.variable}: no such file, got {named}. Correct or unset it.")
        yield named
    for folder in (kept, REPOSITORY.parent / "shared" / "bin"):
        yield from sorted(folder.glob(tool.archives), reverse=True)


def programs_in(tool: Tool, folder: Path) -> Path | None:
    """Where in an unpacked archive the programs are."""
    for place in (folder, folder / "bin", *folder.glob("*"), *folder.glob("*/bin")):
        if all((place / program).is_file() for program in tool.programs):
            return place
    return None


def unpack(archive: Path, kept: Path) -> Path:
    """Unpack it beside what is kept, once, also side by side."""
    home = kept / re.sub(r"\.tar\.\w+$", "", archive.name)
    if not home.is_dir():
        kept.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(dir=kept))
        try:
            with tarfile.open(archive) as packed:
                # Debian 12's Python has no filters yet: there it does without, and the archive is a known one.
                packed.extraction_filter = getattr(tarfile, "data_filter", None)
                packed.extractall(partial)  # noqa: S202
            partial.rename(home)
        except (OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError) as error:
            shutil.rmtree(partial, ignore_errors=True)
            if not home.is_dir():  # else another run was faster
                raise ToolError(f"{archive}: cannot be unpacked: {error}. Remove it, and run this again.") from None
    return home


def require(tool: Tool, environment: Mapping[str, str] = os.environ, kept: Path = KEPT) -> Path:
    """Find it; ToolError where it is not here."""
    folder = find(tool, environment, kept)
    if folder is None:
        raise ToolError(f"{tool.name}: not found, got none. {tool.advice}")
    return folder


def bring(tool: Tool, environment: Mapping[str, str] = os.environ, kept: Path = KEPT) -> Path:
    """Find it, or download its pinned release; ToolError where neither is possible."""
    if find(tool, environment, kept) is None:
        release = Release.pinned(tool)
        try:
            download(release, kept / release.file)
        except (OSError, http.client.HTTPException) as error:
            raise ToolError(f"{tool.name}: not found, and no download: {error}. {tool.advice}") from None
    return require(tool, environment, kept)


def download(release: Release, file: Path) -> None:
    """Fetch an archive and keep it only if it is what was published.

    Tried with a server on loopback only: Pulumi's and Google's own were not reachable when this was written.
    """
    expected = release.sha256 or published_checksum(release)
    file.parent.mkdir(parents=True, exist_ok=True)
    partial, digest = file.with_name(f".{file.name}.{os.getpid()}"), hashlib.sha256()
    print(f"Downloading {release.url}", flush=True)
    try:
        with urllib.request.urlopen(release.url, timeout=TIMEOUT_S) as answer, partial.open("wb") as written:  # noqa: S310
            while chunk := answer.read(CHUNK_BYTES):
                digest.update(chunk)
                written.write(chunk)
        if digest.hexdigest() != expected:
            raise ToolError(
                f"{release.url}: not what was published, got SHA-256 {digest.hexdigest()}, not {expected}. "
                "Do not use it; try again, or get an archive by hand."
            )
        partial.rename(file)
    finally:
        partial.unlink(missing_ok=True)


def published_checksum(release: Release) -> str:
    """The SHA-256 that the publisher tells, on another host than the archive's."""
    assert release.checksums_url is not None, "a pin has one of the two"
    with urllib.request.urlopen(release.checksums_url, timeout=TIMEOUT_S) as answer:  # noqa: S310
        text: bytes = answer.read(CHUNK_BYTES)
    lines = text.decode("utf-8", "replace").splitlines()
    for line in lines:
        checksum, _, name = line.partition("  ")
        if name.strip() == release.file and re.fullmatch(r"[0-9a-f]{64}", checksum):
            return checksum
    raise ToolError(f"{release.checksums_url}: no SHA-256 of {release.file}, got {len(lines)} lines. Get it by hand.")


def put_on_path(tool: Tool) -> None:
    """Let this process and what it starts find it, where PATH has none."""
    if shutil.which(tool.name) is None and (folder := find(tool)) is not None:
        os.environ["PATH"] = os.pathsep.join((os.environ["PATH"], str(folder)))
