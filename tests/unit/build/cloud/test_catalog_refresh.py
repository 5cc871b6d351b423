"""`fab catalog-refresh` on recorded lists: what it writes, what it says, and when it writes nothing."""

import json
import threading
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

import fabfile
from build.cli import catalog
from deployment.stack.catalog import catalog_from
from deployment.stack.catalog_lock import by_hand
from tests.support.replayed_gcloud import ReplayedGcloud, refuses, says
from tests.unit.deployment.stack.test_catalog_lock import MACHINE_TYPES, SKUS


class PriceList(ThreadingHTTPServer):
    """Two pages of SKUs, to whoever comes with the token and a project to charge."""

    pages = (SKUS[:20], SKUS[20:])
    refusal: tuple[int, dict[str, Any]] | None = None


class Page(BaseHTTPRequestHandler):
    """One page."""

    server: PriceList

    def do_GET(self) -> None:
        """As cloudbilling.v1 answers; without a token 401, as every API of Google's."""
        asked = parse_qs(urlsplit(self.path).query)
        number = int(asked.get("pageToken", ["0"])[0])
        status = 200
        body: dict[str, Any] = {"skus": self.server.pages[number], "nextPageToken": "1" if number == 0 else ""}
        if self.headers["Authorization"] != "Bearer ya29.token" or self.headers["X-Goog-User-Project"] != "a-project":
            status, body = 401, {"error": {"code": 401, "message": "Request is missing required credential."}}
        if self.server.refusal and number == 1:
            status, body = self.server.refusal
        assert urlsplit(self.path).path == "/v1/services/6F81-5844-456A/skus"
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def google(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[ReplayedGcloud, PriceList, Path]]:
    """gcloud with the recorded list, the price list on loopback, and where the lock goes."""
    gcloud = ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch)
    gcloud.answers(says("machine-types list", MACHINE_TYPES), says("print-access-token", {"token": "ya29.token"}))
    server = PriceList(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(catalog, "LOCK", tmp_path / "catalog.lock.toml")
    yield gcloud, server, tmp_path / "catalog.lock.toml"
    server.shutdown()
    server.server_close()
    thread.join()


def test_the_task_writes_the_lock_and_says_what_is_new(
    google: tuple[ReplayedGcloud, PriceList, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    gcloud, _, lock = google
    fabfile.catalog_refresh(Context(), project="a-project")
    said = capsys.readouterr()
    assert "c4a: new in asia-east2.\n" in said.out
    assert f"from {len(MACHINE_TYPES)} machine types, {len(SKUS)} SKUs" in said.out + said.err
    assert catalog_from(by_hand(), tomllib.loads(lock.read_text())).series["c4a"].listed["c4a-standard-36"].vcpus == 36
    (listing,) = [call for call in gcloud.calls if "machine-types" in call]
    assert "--filter=name~^(c4a|n4a)- --project=a-project --format=json" in listing
    first = lock.read_text()
    fabfile.catalog_refresh(Context(), project="a-project")
    assert lock.read_text() == first
    assert "ya29" not in said.out + said.err + first


@pytest.mark.parametrize(
    ("list_answer", "token_answer", "refusal", "said"),
    [
        (refuses("machine-types list", "WARNING: Some requests did not succeed:\n - a", 0), None, None, "not succeed"),
        (says("machine-types list", []), None, None, "no c4a machine in any zone"),
        (None, refuses("print-access-token", "ERROR: You have no active account selected."), None, "active account"),
        (None, says("print-access-token", "other"), None, "missing required credential"),
        (
            None, None,
            (403, {"error": {"code": 403, "message": "Cloud Billing API has not been used in project 1 before or it is "
                             "disabled. Enable it by visiting https://console.developers.google.com/apis/api/cloudbilling"
                             ".googleapis.com/overview?project=1", "status": "PERMISSION_DENIED"}}),
            "gcloud services enable cloudbilling.googleapis.com",
        ),
        (None, None, (200, {"skus": [{"description": "C4A Arm Instance Core running in Iowa"}]}), "half an answer"),
        (None, None, (500, {"error": {"code": 500, "message": "Internal error"}}), "Internal error"),
    ],
)  # fmt: skip
def test_a_failure_writes_nothing_and_says_why(
    google: tuple[ReplayedGcloud, PriceList, Path], capsys: pytest.CaptureFixture[str],
    list_answer: Any, token_answer: Any, refusal: Any, said: str,
) -> None:  # fmt: skip
    gcloud, server, lock = google
    server.refusal = refusal
    gcloud.answers(
        list_answer or says("machine-types list", MACHINE_TYPES),
        token_answer or says("print-access-token", {"token": "ya29.token"}),
    )
    lock.write_text("as it was")
    with pytest.raises(Exit) as caught:
        fabfile.catalog_refresh(Context(), project="a-project")
    printed = capsys.readouterr()
    assert caught.value.code == 1
    assert said in printed.out + printed.err
    assert "Traceback" not in printed.err
    assert lock.read_text() == "as it was"
    assert [path.name for path in lock.parent.iterdir() if path.name.startswith("catalog")] == ["catalog.lock.toml"]
