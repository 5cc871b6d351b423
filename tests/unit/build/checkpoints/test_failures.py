"""What a download says when disk, hub or bucket do not play along."""

import sys
from pathlib import Path

import pytest

from build.checkpoints.pull import choose_source
from tests.support.fakes.hub import FakeHub
from tests.support.pulls import COMMIT, CONFIG, WEIGHTS, contents, final, part, pull, refusal


def test_a_disk_that_fills_up_on_the_way_is_a_sentence_and_the_next_run_goes_on(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"].files = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
    full = part(tmp_path, WEIGHTS)
    full.parent.mkdir(parents=True)
    full.symlink_to("/dev/full")
    assert refusal(tmp_path) == (
        f"{tmp_path}/root/models: cannot be written: [Errno 28] No space left on device. "
        "Free some disk, then run the same command again: it goes on where it stopped."
    )
    full.unlink()
    pull(tmp_path)
    assert contents(final(tmp_path))["model.safetensors"] == WEIGHTS


def test_another_refusal_is_told_with_the_hubs_own_status(hub: FakeHub, tmp_path: Path) -> None:
    hub.statuses = [410]
    assert refusal(tmp_path) == f"org/tiny: refused by {hub.url}, got 410 Gone. Look at {hub.url}/org/tiny."


def test_a_bucket_that_may_not_be_read_says_whose_right_is_missing(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    gcloud = programs / "gcloud"
    said = "ERROR: (gcloud.storage.objects.list) HTTPError 403: no storage.objects.list access."
    gcloud.write_text(f"#!{sys.executable}\nimport sys\nsys.exit({said!r})\n")
    gcloud.chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    place = f"gs://b/weights/org/tiny/{COMMIT}"
    source = choose_source("gs://b/weights")
    assert refusal(tmp_path, source=source) == (
        f"{place}: cannot be copied: {said} Let the host's account read the bucket."
    )
    gcloud.unlink()
    assert refusal(tmp_path, source=source).endswith("No such file or directory: 'gcloud'. Install gcloud on the host.")
