"""The same content comes onto a host once, and goes when no release has a use for it."""

import os
from pathlib import Path

import pytest

from agent.content import prune
from build.checkpoints.pull import choose_source
from tests.support.checkpoints import config, index, names, pointer, safetensors
from tests.support.fakes.hub import FakeHub, Repository
from tests.support.pulls import COMMIT, FILES, WEIGHTS, contents, final, locked_files, pull, refusal, served

NEXT = "f" * 40


def checkpoints(tmp_path: Path) -> list[str]:
    models = tmp_path / "root" / "models"
    return sorted(path.relative_to(models).as_posix() for path in models.glob("[!.]*/*"))


def test_a_commit_that_changes_the_configuration_alone_costs_no_byte_of_weights(hub: FakeHub, tmp_path: Path) -> None:
    pull(tmp_path)
    assert hub.sent["model.safetensors"] >= 300_000
    hub.repositories["org/tiny"] = Repository(NEXT, {**FILES, "config.json": config(2, rope_theta=1e6)})
    hub.sent.clear()
    pull(tmp_path, served(revision=NEXT))
    print(dict(hub.sent))
    assert hub.sent["model.safetensors"] == 0
    assert contents(tmp_path / "root/models/alpha" / NEXT)["model.safetensors"] == WEIGHTS
    assert contents(final(tmp_path))["config.json"] == FILES["config.json"], "the other one is as it was"


def test_another_name_and_another_repository_of_the_same_weights_cost_none(hub: FakeHub, tmp_path: Path) -> None:
    pull(tmp_path)
    hub.repositories["org/copy"] = Repository(NEXT, dict(FILES))
    hub.sent.clear()
    pull(tmp_path, served("org/tiny", COMMIT, "renamed"))
    pull(tmp_path, served("org/copy", NEXT, "copy"))
    print(dict(hub.sent))
    assert hub.sent["model.safetensors"] == 0
    places = [f"root/models/{place}/model.safetensors" for place in (f"renamed/{COMMIT}", f"copy/{NEXT}")]
    assert {(tmp_path / place).stat().st_ino for place in places} == {
        (final(tmp_path) / "model.safetensors").stat().st_ino
    }


def test_two_names_in_one_file_are_downloaded_once(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"].files["tokenizer.json"] = FILES["tokenizer/tokenizer.json"]
    pull(tmp_path, served("org/tiny", COMMIT, "alpha", "beta"))
    downloads = [path for _, path, _ in hub.requests if path.endswith("//model.safetensors")]
    assert len(downloads) == 2 + 1, "a look at the header for each, one download"
    assert hub.sent["tokenizer.json"] + hub.sent["tokenizer/tokenizer.json"] == 4000, "one content at two places"


def test_models_from_before_there_was_a_store_are_not_downloaded_again(hub: FakeHub, tmp_path: Path) -> None:
    pull(tmp_path)
    for content in (tmp_path / "root" / "models" / ".content").iterdir():
        content.unlink()
    hub.sent.clear()
    pull(tmp_path, served("org/tiny", COMMIT, "renamed"))
    assert hub.sent["model.safetensors"] == 0


def test_a_content_that_was_changed_on_the_disk_is_not_given_to_another_model(hub: FakeHub, tmp_path: Path) -> None:
    pull(tmp_path)
    (final(tmp_path) / "model.safetensors").write_bytes(WEIGHTS[:-1] + b"?")
    pull(tmp_path, served("org/tiny", COMMIT, "renamed"))
    assert contents(tmp_path / "root/models/renamed" / COMMIT)["model.safetensors"] == WEIGHTS


def test_what_no_release_names_is_pruned_and_what_somebody_brought_is_not(hub: FakeHub, tmp_path: Path) -> None:
    root = tmp_path / "root"
    pull(tmp_path)
    pull(tmp_path, served("org/tiny", COMMIT, "kept"))
    brought = root / "models" / "brought" / COMMIT
    brought.mkdir(parents=True)
    release = root / "releases" / "20260101T000000-aaaaaaaa" / "engines"
    release.mkdir(parents=True)
    (release / "kept.yaml").write_text(f'model: "{root}/models/kept/{COMMIT}"\n')
    assert prune(root) == [f"alpha/{COMMIT}"]
    assert checkpoints(tmp_path) == [f"brought/{COMMIT}", f"kept/{COMMIT}"]
    store = root / "models" / ".content"
    assert len(list(store.iterdir())) == 4, "what the other one has stays"
    (release / "kept.yaml").write_text("model: elsewhere\n")
    begun, stale = store / "a.part", store / "b.part"
    for each, age_s in ((begun, 0), (stale, 8 * 24 * 3600)):
        each.write_bytes(b"half")
        os.utime(each, (each.stat().st_mtime - age_s,) * 2)
    assert prune(root) == [f"kept/{COMMIT}"]
    assert list(store.iterdir()) == [begun]
    assert prune(root) == []
    assert prune(tmp_path / "nothing there") == []


SHARDS = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
ALL = names(range(3))
HALF = {
    "config.json": config(3),
    "model.safetensors.index.json": index(dict(zip(SHARDS, (ALL[:4], ALL[4:7], ALL[7:]), strict=True))),
    SHARDS[0]: safetensors(ALL[:4], size=20_000),
    SHARDS[1]: safetensors(ALL[4:7], size=20_000),
}
INDEX = "model.safetensors.index.json"
WHOLE = {"config.json": FILES["config.json"], "model.safetensors": WEIGHTS}
REFUSED = {
    "an index naming what is not listed": (HALF, f"{INDEX} names what is not there: {SHARDS[2]}."),
    "a file cut off": (
        {**WHOLE, "model.safetensors": WEIGHTS[:200_000]},
        "model.safetensors is not as long as its header says, got 200000 bytes where 300000 belong.",
    ),
    "a pointer in place of the weights": (
        {**WHOLE, "model.safetensors": pointer(WEIGHTS)},
        "model.safetensors is a pointer of git LFS in place of the file, got 131 bytes.",
    ),
    "a pointer in place of the tokenizer": (
        {**WHOLE, "tokenizer.json": pointer(b"")},
        "tokenizer.json is a pointer of git LFS in place of the file, got 126 bytes.",
    ),
    "weights of the old format alone": (
        {"config.json": config(), "pytorch_model.bin": b"x" * 5000},
        "no *.safetensors, got pytorch_model.bin.",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("place", ["hub", "directory"])
def test_half_a_checkpoint_is_refused_before_it_is_downloaded(
    hub: FakeHub, tmp_path: Path, what: str, place: str
) -> None:
    files, sentence = REFUSED[what]
    hub.repositories["org/tiny"].files = files
    store = tmp_path / "store"
    for path, content in files.items():
        (store / "org" / "tiny" / COMMIT).mkdir(parents=True, exist_ok=True)
        (store / "org" / "tiny" / COMMIT / path).write_bytes(content)
    source = choose_source(str(store)) if place == "directory" else None
    assert refusal(tmp_path, source=source).startswith(f"alpha: org/tiny: {sentence}")
    assert hub.sent_bytes == 0
    assert locked_files(tmp_path) == {}
    assert list((tmp_path / "root" / "models" / ".content").iterdir()) == []


def test_a_directory_in_the_place_of_a_model_that_is_not_whole_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    """As one is that was copied there by hand: nothing says what belongs into it."""
    final(tmp_path).mkdir(parents=True)
    for path, content in HALF.items():
        (final(tmp_path) / path).write_bytes(content)
    with pytest.raises(Exception, match=f"names what is not there: {SHARDS[2]}. Remove {final(tmp_path)} and run"):
        pull(tmp_path)
    assert locked_files(tmp_path) == {}


def test_a_lock_from_when_more_was_downloaded_still_fits(hub: FakeHub, tmp_path: Path) -> None:
    """Another toolkit, or an earlier one, may count a folder of adapters among what an engine reads."""
    pull(tmp_path)
    lock = tmp_path / "models.lock.json"
    entry = '"config.json": {'
    adapter = "speech-lora/adapter_model.safetensors"
    digest = "ac8a1c15d8c4e4cf2cb4f36f2e1f4e9f1d1e7a4e8e8b6a2b3c7f2a0d1e5f6a7b"
    text = lock.read_text()
    lock.write_text(text.replace(entry, f'"{adapter}": {{"size": 5000, "sha256": "{digest}"}}, {entry}'))
    pull(tmp_path)
    assert refusal_of_other_content(hub, tmp_path)


def refusal_of_other_content(hub: FakeHub, tmp_path: Path) -> bool:
    (tmp_path / "root" / "models" / "alpha").rename(tmp_path / "away")
    hub.repositories["org/tiny"].files["model.safetensors"] = WEIGHTS[:-1] + b"?"
    return "got another model.safetensors" in refusal(tmp_path)
