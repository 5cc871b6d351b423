"""A hub and its CDN through the real huggingface_hub: what is tried again, and what a refusal means."""

import email.utils
import time
from pathlib import Path

import pytest
from huggingface_hub import hf_hub_download

from agent.files import ListedFile, PullError
from agent.hub import Hub
from tests.support.fakes.hub import NARROW, FakeHub
from tests.support.pulls import COMMIT, FILES, WEIGHTS


class Asked:
    """One who asks, and does not sleep but writes down how long."""

    def __init__(self, fake: FakeHub, token: str | None = None) -> None:
        self.slept: list[float] = []
        self.hub = Hub(fake.url, token, sleep=self.slept.append)

    def file(self, path: str = "model.safetensors") -> ListedFile:
        return next(file for file in self.hub.listing("org/tiny", COMMIT)[1] if file.path == path)

    def fetched(self, tmp_path: Path) -> bytes:
        self.hub.fetch("org/tiny", COMMIT, self.file(), tmp_path / "part", lambda _: None)
        return (tmp_path / "part").read_bytes()

    def refusal(self, path: str = "model.safetensors") -> str:
        with pytest.raises(PullError) as caught:
            self.hub.read("org/tiny", COMMIT, self.file(path), 0, 8)
        return str(caught.value)


def test_the_stand_in_hub_is_one_for_huggingface_hub_itself(hub: FakeHub, tmp_path: Path) -> None:
    for path in ("config.json", "model.safetensors"):
        found = hf_hub_download("org/tiny", path, revision=COMMIT, endpoint=hub.url, local_dir=tmp_path, token=False)
        assert Path(found).read_bytes() == FILES[path]


@pytest.mark.parametrize("status", [403, 404, 416, 429, 500])
def test_what_a_cdn_refuses_is_asked_of_the_hub_again(hub: FakeHub, tmp_path: Path, status: int) -> None:
    hub.cdn_statuses = [status, status]
    asked = Asked(hub)
    assert asked.fetched(tmp_path) == WEIGHTS
    assert len(set(hub.signatures)) == 3, "each time at another address"
    assert asked.slept == [0.5, 1.0]


def test_a_cdn_that_goes_on_refusing_is_not_called_gated_or_missing(hub: FakeHub, tmp_path: Path) -> None:
    hub.cdn_statuses = [403] * 8
    with pytest.raises(PullError) as caught:
        Asked(hub).fetched(tmp_path)
    assert str(caught.value) == (
        f"org/tiny: model.safetensors cannot be downloaded from {hub.url} in 8 tries: 403 Forbidden of 127.0.0.1. "
        "Run the same command again: it goes on where it stopped."
    )


def test_a_mirror_that_keeps_the_bytes_itself_is_asked_again_as_well(hub: FakeHub, tmp_path: Path) -> None:
    asked = Asked(hub)
    file = asked.file()
    hub.keeps_files, hub.statuses = True, [200, 403]
    asked.hub.fetch("org/tiny", COMMIT, file, tmp_path / "part", lambda _: None)
    assert (tmp_path / "part").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("headers", "slept_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "86400"}, 300.0),
        ({"Retry-After": "soon"}, 0.5),
        ({"RateLimit": '"api";r=0;t=55'}, 55.0),
        ({"RateLimit": '"api";r=3;t=55'}, 0.5),
        ({}, 0.5),
    ],
)
def test_a_busy_hub_is_left_alone_for_as_long_as_it_asks(hub: FakeHub, headers: dict[str, str], slept_s: float) -> None:
    hub.statuses, hub.headers = [429], headers
    asked = Asked(hub)
    asked.file()
    assert asked.slept == [slept_s]


def test_a_busy_hub_may_give_a_date(hub: FakeHub) -> None:
    hub.statuses, hub.headers = [503], {"Retry-After": email.utils.formatdate(time.time() + 30, usegmt=True)}
    asked = Asked(hub)
    asked.file()
    assert 20 < asked.slept[0] <= 30


def test_a_disabled_repository_is_not_called_gated(hub: FakeHub) -> None:
    hub.repositories["org/tiny"].is_disabled = True
    assert Asked(hub).refusal() == (
        "org/tiny: disabled by the hub or its owner, got 403. No token opens it: take another repository."
    )


def test_a_token_without_the_right_is_not_told_to_accept_terms(hub: FakeHub) -> None:
    hub.repositories["org/tiny"].is_gated = True
    hub.tokens, hub.narrow_tokens = {"narrow": ()}, ("narrow",)
    assert Asked(hub, "narrow").refusal() == (
        f"org/tiny: the token lacks a right, got 403 {NARROW}. Give it the right to read this repository in its "
        "settings on the hub, or use a token of kind `read`."
    )


SIBLING = {"rfilename": "config.json", "blobId": "0" * 40}
LISTINGS: list[tuple[object, str]] = [
    ("<html><body>Sign in</body></html>", "no list of files from URL, got Expecting value: line 1 column 1 (char 0)."),
    ([], "no list of files from URL, got "),
    ({"error": "?"}, "no list of files from URL, got 'id'."),
    ({"id": "a"}, "no list of files from URL: none of its files (siblings)."),
    ({"id": "a", "siblings": []}, "no list of files from URL: none of its commit (sha)."),
    ({"id": "a", "sha": COMMIT, "siblings": [{}]}, "no list of files from URL, got 'rfilename'."),
    ({"id": "a", "sha": COMMIT, "siblings": [SIBLING]}, "no size of config.json from URL, got a list without."),
]


@pytest.mark.parametrize(("listing", "said"), LISTINGS)
def test_a_list_that_is_none_is_a_sentence(hub: FakeHub, listing: object, said: str) -> None:
    hub.listing = listing
    found = Asked(hub).refusal()
    assert found.startswith(f"org/tiny: {said.replace('URL', hub.url)}")
    assert found.endswith(" Correct HF_ENDPOINT, or look for a proxy that answers in its place.")


def test_a_name_that_no_hub_takes_is_a_sentence(hub: FakeHub) -> None:
    with pytest.raises(PullError, match="org//tiny: no list of files from "):
        Asked(hub).hub.listing("org//tiny", COMMIT)


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_piece_of_a_file_is_that_piece(hub: FakeHub, knows_ranges: bool) -> None:
    hub.knows_ranges = knows_ranges
    asked = Asked(hub)
    assert asked.hub.read("org/tiny", COMMIT, asked.file(), 1000, 64) == WEIGHTS[1000:1064]
    assert asked.hub.read("org/tiny", COMMIT, asked.file(), 299_990, 64) == WEIGHTS[-10:]
    assert asked.hub.read("org/tiny", COMMIT, asked.file("empty.txt"), 0, 64) == b""
