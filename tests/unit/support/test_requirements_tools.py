"""Where Pulumi's CLI and gcloud come from: each place in its turn, and no download that is not what was published."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from build.pins import PINS, load_pins
from tests.support.requirements import tools
from tests.support.requirements.tools import GCLOUD, PULUMI, Release, ToolError, bring, download, find, require

FILE = "pulumi-v9.9.9-linux-x64.tar.gz"
NOWHERE = {"PATH": "/nowhere"}


def archive(*names: str) -> bytes:
    """A gzipped tar of programs."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name in names:
            member = tarfile.TarInfo(f"pulumi/{name}")
            member.mode, member.size = 0o755, 1
            tar.addfile(member, io.BytesIO(b"#"))
    return packed.getvalue()


WHOLE = archive("pulumi", "pulumi-language-python")
CHECKSUM = hashlib.sha256(WHOLE).hexdigest()


@pytest.fixture(autouse=True)
def nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout with nothing next to it."""
    monkeypatch.setattr(tools, "REPOSITORY", tmp_path / "work" / "checkout")


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    folder = tmp_path / "kept"
    folder.mkdir()
    return folder


def written(path: Path, content: bytes = WHOLE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_path_counts_first_and_needs_all_programs(tmp_path: Path, kept: Path) -> None:
    written(kept / FILE)
    installed = written(tmp_path / "bin" / "pulumi", b"#")
    installed.chmod(0o755)
    assert find(PULUMI, {"PATH": str(tmp_path / "bin")}, kept) == kept / FILE.removesuffix(".tar.gz") / "pulumi"
    written(tmp_path / "bin" / "pulumi-language-python", b"#").chmod(0o755)
    assert find(PULUMI, {"PATH": str(tmp_path / "bin")}, kept) == tmp_path / "bin"


def test_an_archive_that_is_named_counts_before_those_that_lie_about(tmp_path: Path, kept: Path) -> None:
    named, beside = written(tmp_path / "named.tar.gz"), tmp_path / "work" / "shared" / "bin" / FILE
    written(beside)
    assert find(PULUMI, NOWHERE, kept) == kept / FILE.removesuffix(".tar.gz") / "pulumi"
    written(kept / "pulumi-v9.9.8-linux-x64.tar.gz")
    assert find(PULUMI, NOWHERE, kept) == kept / "pulumi-v9.9.8-linux-x64" / "pulumi"
    assert find(PULUMI, {**NOWHERE, PULUMI.variable: str(named)}, kept) == kept / "named" / "pulumi"


def test_the_folder_of_an_unpacked_one_does_as_well(tmp_path: Path, kept: Path) -> None:
    written(tmp_path / "google-cloud-sdk" / "bin" / "gcloud", b"#")
    named = {**NOWHERE, GCLOUD.variable: str(tmp_path / "google-cloud-sdk")}
    assert find(GCLOUD, named, kept) == tmp_path / "google-cloud-sdk" / "bin"


def test_programs_of_an_archive_can_be_executed(kept: Path) -> None:
    written(kept / FILE)
    folder = find(PULUMI, NOWHERE, kept)
    assert folder is not None and (folder / "pulumi").stat().st_mode & 0o777 == 0o755


def test_a_name_that_leads_nowhere_is_a_mistake(tmp_path: Path, kept: Path) -> None:
    with pytest.raises(ToolError, match=r"AXION_PULUMI_ARCHIVE: no such file, got .*/none. Correct or unset it."):
        find(PULUMI, {**NOWHERE, PULUMI.variable: str(tmp_path / "none")}, kept)


def test_a_broken_archive_is_said_and_leaves_nothing(kept: Path) -> None:
    written(kept / FILE, WHOLE[:40])
    with pytest.raises(ToolError, match=r"cannot be unpacked: .* Remove it, and run this again."):
        find(PULUMI, NOWHERE, kept)
    assert [path.name for path in kept.iterdir()] == [FILE]


def test_an_archive_without_the_programs_is_none(kept: Path) -> None:
    written(kept / FILE, archive("pulumi"))
    assert find(PULUMI, NOWHERE, kept) is None
    with pytest.raises(ToolError, match=r"^pulumi: not found, got none. Install it: https://www.pulumi.com"):
        require(PULUMI, NOWHERE, kept)


class Publisher(BaseHTTPRequestHandler):
    """A release and the checksums beside it."""

    files: dict[str, bytes]

    def do_GET(self) -> None:
        content = self.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def release() -> Iterator[Release]:
    lines = f"{'0' * 64}  pulumi-v9.9.9-darwin-x64.tar.gz\n{CHECKSUM}  {FILE}\n"
    Publisher.files = {f"/{FILE}": WHOLE, "/checksums.txt": lines.encode()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Publisher)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield Release(url=f"{url}/{FILE}", checksums_url=f"{url}/checksums.txt")
    server.shutdown()
    server.server_close()


def test_a_release_is_downloaded_once_and_used(release: Release, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Release, "pinned", lambda _tool: release)
    assert bring(PULUMI, NOWHERE, kept) == kept / FILE.removesuffix(".tar.gz") / "pulumi"
    Publisher.files.clear()
    assert bring(PULUMI, NOWHERE, kept) == kept / FILE.removesuffix(".tar.gz") / "pulumi"


def test_a_pinned_checksum_counts_more_than_a_published_one(release: Release, kept: Path) -> None:
    download(replace(release, sha256=CHECKSUM, checksums_url=None), kept / FILE)
    assert (kept / FILE).read_bytes() == WHOLE
    with pytest.raises(ToolError, match=f"not what was published, got SHA-256 {CHECKSUM}, not {'1' * 64}"):
        download(replace(release, sha256="1" * 64), kept / "other")


def test_what_was_not_published_is_not_kept(release: Release, kept: Path) -> None:
    Publisher.files[f"/{FILE}"] = WHOLE + b"more"
    with pytest.raises(ToolError, match="not what was published"):
        download(release, kept / FILE)
    assert list(kept.iterdir()) == []


def test_checksums_that_do_not_name_the_file_prove_nothing(release: Release, kept: Path) -> None:
    Publisher.files["/checksums.txt"] = f"{CHECKSUM}  another.tar.gz\n".encode()
    with pytest.raises(ToolError, match=rf"no SHA-256 of {FILE}, got 1 lines. Get it by hand."):
        download(release, kept / FILE)


def test_a_publisher_that_cannot_be_reached_is_a_sentence(
    release: Release, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Release, "pinned", lambda _tool: release)
    Publisher.files.clear()
    with pytest.raises(ToolError, match=r"^pulumi: not found, and no download: HTTP Error 404: .* Install it: "):
        bring(PULUMI, NOWHERE, kept)


def test_the_pins_are_those_that_the_project_reads() -> None:
    pins = load_pins(PINS)
    for tool, pin in ((PULUMI, pins.pulumi), (GCLOUD, pins.gcloud)):
        release = Release.pinned(tool)
        assert release.url == pin.url.format(version=pin.version)
        assert Path(release.file).match(tool.archives)
        assert release.sha256 or (release.checksums_url or "").startswith("https://")
