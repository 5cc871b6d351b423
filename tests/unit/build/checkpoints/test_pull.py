"""Downloads from a hub of our own, by the very program that runs on a host."""

import hashlib
import json
from pathlib import Path

import pytest

from agent.protocol import PullOrder, PullSource, WantedModel
from tests.support.agent import agent_file, run_agent
from tests.support.fakes.hub import FakeHub
from tests.support.pulls import (
    COMMIT,
    CONFIG,
    FILES,
    WANTED,
    WANTED_BYTES,
    WEIGHTS,
    contents,
    final,
    part,
    pull,
    refusal,
    served,
)


def test_what_an_engine_reads_is_downloaded_once_verified_and_locked(hub: FakeHub, tmp_path: Path) -> None:
    pull(tmp_path)
    assert contents(final(tmp_path)) == {path: FILES[path] for path in WANTED}
    assert hub.sent_bytes == WANTED_BYTES
    locked = json.loads((tmp_path / "models.lock.json").read_text())
    assert locked["schema"] == "axion.models.lock/2"
    checkpoint = locked["models"]["alpha"].pop("checkpoint")
    assert checkpoint["shape"]["num_hidden_layers"] == 2
    assert locked["models"]["alpha"] == {
        "hub": "org/tiny",
        "commit": COMMIT,
        "files": {
            path: {"size": len(FILES[path]), "sha256": hashlib.sha256(FILES[path]).hexdigest()} for path in WANTED
        },
    }
    asked = len(hub.requests)
    pull(tmp_path)
    assert len(hub.requests) == asked, "what is there is not asked for"
    assert sorted(path.name for path in (tmp_path / "root" / "models").iterdir()) == [".content", "alpha"]


def test_a_broken_connection_goes_on_where_it_broke(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"].files = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
    hub.cut_after_bytes = [100_000, 50_000]
    pull(tmp_path)
    assert contents(final(tmp_path))["model.safetensors"] == WEIGHTS
    assert hub.sent_bytes == 300_000 + len(CONFIG)


def test_a_task_that_was_killed_is_continued_by_the_next(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"].files = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
    part(tmp_path, WEIGHTS).parent.mkdir(parents=True)
    part(tmp_path, WEIGHTS).write_bytes(WEIGHTS[:299_000])
    pull(tmp_path)
    assert hub.sent_bytes == 1000 + len(CONFIG)
    assert contents(final(tmp_path))["model.safetensors"] == WEIGHTS


def test_a_server_without_ranges_sends_all_of_it_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"].files = {"config.json": CONFIG, "model.safetensors": WEIGHTS}
    hub.knows_ranges, hub.cut_after_bytes = False, [100_000]
    pull(tmp_path)
    assert contents(final(tmp_path))["model.safetensors"] == WEIGHTS
    assert hub.sent_bytes == 400_000 + len(CONFIG)


def test_a_busy_hub_is_asked_again(hub: FakeHub, tmp_path: Path) -> None:
    hub.statuses = [503, 429]
    pull(tmp_path)
    assert final(tmp_path).is_dir()


@pytest.mark.parametrize("path", ["model.safetensors", "config.json"])
def test_a_file_that_is_not_what_the_commit_holds_is_refused_and_removed(
    hub: FakeHub, tmp_path: Path, path: str
) -> None:
    changed = FILES[path].replace(b"Llama", b"Gemma") if path == "config.json" else FILES[path][:-1] + b"?"
    hub.changed[path] = changed
    said = refusal(tmp_path)
    digest = hashlib.sha256(changed).hexdigest()
    assert said.startswith(f"alpha: {path} is corrupted, got SHA-256 {digest} of {len(changed)} bytes. It was removed;")
    hub.changed.clear()
    pull(tmp_path)
    assert contents(final(tmp_path))[path] == FILES[path]


def test_a_gated_model_says_what_to_do_with_and_without_a_token(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repositories["org/tiny"].is_gated = True
    hub.tokens = {"of-somebody": (), "of-a-reader": ("org/tiny",)}
    assert refusal(tmp_path) == (
        f"org/tiny: gated, got 401 without a token. Accept the terms at {hub.url}/org/tiny, then give a token: "
        "`pulumi config set --secret axion:hubToken` and `pulumi up` for a host of a stack, HF_TOKEN for this computer."
    )
    monkeypatch.setenv("HF_TOKEN", "of-somebody")
    assert refusal(tmp_path) == (
        f"org/tiny: gated, got 403 with this token. Accept the terms at {hub.url}/org/tiny with its account."
    )
    monkeypatch.setenv("HF_TOKEN", "wrong")
    assert refusal(tmp_path).startswith("org/tiny: the token is refused, got 401. Make a new one")
    monkeypatch.setenv("HF_TOKEN", "of-a-reader")
    pull(tmp_path)
    assert final(tmp_path).is_dir()


def test_the_token_is_for_the_hub_and_not_for_where_it_sends_us(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.tokens = {"of-a-reader": ()}
    monkeypatch.setenv("HF_TOKEN", "of-a-reader")
    pull(tmp_path)
    seen = {role: {bearer for each, _, bearer in hub.requests if each == role} for role in ("hub", "cdn")}
    assert seen == {"hub": {"Bearer of-a-reader"}, "cdn": {None}}
    assert not any(b"of-a-reader" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_what_is_not_there_is_named(hub: FakeHub, tmp_path: Path) -> None:
    assert refusal(tmp_path, served("org/none")).startswith(
        "org/none: no such repository, got 401. Correct weights.hub in the models file. If it is private, give a token:"
    )
    assert refusal(tmp_path, served(revision="f" * 40)) == (
        f"org/tiny: no such revision, got {'f' * 40}. Take a commit from {hub.url}/org/tiny/commits/main."
    )


def test_a_hub_that_calls_another_commit_by_this_name_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    """As a mirror may that serves the newest of everything."""
    hub.repositories["org/tiny"].commit = "f" * 40
    hub.repositories["org/tiny"].branches = (COMMIT,)
    assert refusal(tmp_path) == (
        f"alpha: a name that may move, got {COMMIT} for commit {'f' * 40} of org/tiny. Write the commit as revision."
    )


def test_a_file_outside_of_the_repository_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["org/tiny"].files["../../outside.json"] = b"{}"
    assert refusal(tmp_path).startswith("org/tiny: a file outside of the repository, got '../../outside.json'.")


def test_a_hub_that_does_not_answer_is_named_after_bounded_tries(tmp_path: Path) -> None:
    source = PullSource(kind="hub", place="http://127.0.0.1:9", pause_s=0.001)
    order = PullOrder(str(tmp_path), source, {"alpha": WantedModel("org/tiny", COMMIT, {})})
    done = run_agent(agent_file(tmp_path), "pull", order.to_json())
    assert done.returncode == 1
    (problem,) = json.loads(done.stdout.splitlines()[-1])["problems"]
    assert problem.startswith("org/tiny: its list of files cannot be downloaded from http://127.0.0.1:9 in 8 tries: ")
    assert problem.endswith(". Run the same command again: it goes on where it stopped.")


def test_too_little_disk_is_found_before_the_first_byte(hub: FakeHub, tmp_path: Path) -> None:
    edit = {"pull.py": ("free = found.free_bytes", "free = 700_000_000")}
    source = PullSource(kind="hub", place=hub.url)
    order = PullOrder(str(tmp_path), source, {"alpha": WantedModel("org/tiny", COMMIT, {})})
    done = run_agent(agent_file(tmp_path, edit), "pull", order.to_json())
    assert json.loads(done.stdout.splitlines()[-1])["problems"] == [
        f"{tmp_path}/models: too little free disk, got 0.7 GB where 0.0 GB and 1 GB to spare are needed "
        "(alpha 0.0). Free some, or enlarge the data disk."
    ]
    assert hub.sent_bytes == 0
