"""What a download is held against, and where else than from a hub it may come from."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.protocol import FromCaller, FromSecretManager, PullSource
from build.checkpoints.pull import Means, choose_source, pull_job
from build.errors import DeployError
from build.remote.target import Target
from deployment.checkpoint.lock import lock_path
from deployment.errors import ConfigError
from tests.support.fakes.hub import FakeHub
from tests.support.pulls import COMMIT, CONFIG, FILES, WANTED, WEIGHTS, contents, final, pull, refusal, served


def test_another_content_than_the_locked_one_is_refused_before_it_is_downloaded(hub: FakeHub, tmp_path: Path) -> None:
    other = tmp_path / "first"
    other.mkdir()
    pull(other)
    lock_path(tmp_path / "models.yaml").write_bytes((other / "models.lock.json").read_bytes())
    hub.repositories["org/tiny"].files["model.safetensors"] = WEIGHTS[:-1] + b"?"
    hub.sent_bytes = 0
    assert refusal(tmp_path) == (
        "alpha: not what models.lock.json says of org/tiny, got another model.safetensors. "
        "Find out who changed it; to accept it all the same, remove alpha from the lock file."
    )
    assert hub.sent_bytes == 0


def test_a_lock_file_that_is_broken_is_a_sentence(hub: FakeHub, tmp_path: Path) -> None:
    (tmp_path / "models.lock.json").write_text("{")
    with pytest.raises(ConfigError, match=r"models.lock.json: cannot be read: "):
        pull(tmp_path)


def test_a_checkpoint_that_was_changed_on_the_host_is_noticed(hub: FakeHub, tmp_path: Path) -> None:
    pull(tmp_path)
    weights = final(tmp_path) / "model.safetensors"
    weights.write_bytes(WEIGHTS[:-1] + b"?")
    pull(tmp_path)  # the same size: only a thorough look tells
    with pytest.raises(DeployError, match=r"model\.safetensors is not what was downloaded, got 300000 bytes"):
        pull(tmp_path, is_thorough=True)
    weights.write_bytes(b"short")
    with pytest.raises(DeployError, match=r"got 5 bytes where 300000 belong\. Remove .* and run `fab models-pull`"):
        pull(tmp_path)


def test_a_directory_of_the_host_serves_as_a_hub_and_is_held_against_the_lock(hub: FakeHub, tmp_path: Path) -> None:
    pull(tmp_path)
    store, second = tmp_path / "store", tmp_path / "second"
    (store / "org" / "tiny").mkdir(parents=True)
    second.mkdir()
    final(tmp_path).rename(store / "org" / "tiny" / COMMIT)
    lock_path(second / "models.yaml").write_bytes((tmp_path / "models.lock.json").read_bytes())
    source, asked = choose_source(str(store)), len(hub.requests)
    assert len(pull(second, source=source).files) == 4
    assert contents(final(second)) == {path: FILES[path] for path in WANTED}
    assert len(hub.requests) == asked
    (store / "org" / "tiny" / COMMIT / "config.json").write_bytes(CONFIG.replace(b"Llama", b"Gemma"))
    third = tmp_path / "third"
    third.mkdir()
    assert "alpha: config.json is corrupted" in refusal(third, source=source)
    assert refusal(third, served("org/none"), source=source).startswith(f"{store}/org/none/{COMMIT}: no such model")


GCLOUD = """#!{python}
import json, os, shutil, sys
store, words = {store!r}, [word for word in sys.argv[1:] if word != "--quiet"]
path = lambda address: os.path.join(store, address.removeprefix("gs://b/"))
if words[:3] == ["storage", "objects", "list"]:
    top = path(words[3].removesuffix("/**"))
    found = [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]
    print(json.dumps([{{"name": os.path.relpath(one, store), "size": str(os.path.getsize(one))}} for one in found]))
elif words[:2] == ["storage", "cat"]:
    asked = [word.partition("=")[2] for word in words if word.startswith("--range=")]
    first, last = map(int, asked[0].split("-")) if asked else (0, 1 << 40)
    sys.stdout.buffer.write(open(path(words[-1]), "rb").read()[first : last + 1])
elif words[:2] == ["storage", "cp"]:
    shutil.copyfile(path(words[2]), words[3])
"""


def test_a_bucket_serves_as_a_hub(hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pull(tmp_path)
    store, second, programs = (tmp_path / name for name in ("store", "second", "bin"))
    for folder in (store / "weights" / "org" / "tiny", second, programs):
        folder.mkdir(parents=True)
    final(tmp_path).rename(store / "weights" / "org" / "tiny" / COMMIT)
    (programs / "gcloud").write_text(GCLOUD.format(python=sys.executable, store=str(store)))
    (programs / "gcloud").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs))
    pull(second, source=choose_source("gs://b/weights"))
    assert contents(final(second)) == {path: FILES[path] for path in WANTED}
    said = refusal(tmp_path, served("org/none"), source=choose_source("gs://b/weights"))
    assert said.startswith(f"gs://b/weights/org/none/{COMMIT}: no such model.")


def test_a_source_is_a_directory_a_bucket_or_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert choose_source() == PullSource(kind="hub", place="https://huggingface.co")
    assert choose_source("gs://b/x").kind == "bucket"
    with pytest.raises(DeployError, match="--source: neither a directory nor a bucket, got here"):
        choose_source("here")
    monkeypatch.setenv("HF_ENDPOINT", "mirror")
    with pytest.raises(DeployError, match="HF_ENDPOINT: not an address, got mirror"):
        choose_source()


def test_the_token_of_a_host_is_the_stacks_secret_else_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "planted-7c1d")
    here = Target(name="here", root="/opt/axion", runner="systemd", python="/usr/bin/python3")
    there = replace(here, name="main", hub_token_secret="projects/p/secrets/s")
    source = Means(python="/venv/bin/python", source=choose_source("/models"))
    hub = Means(python="/venv/bin/python", source=PullSource(kind="hub", place="https://huggingface.co"))
    secret = pull_job(there, {}, hub)
    assert secret.credentials == {"hub_token": FromSecretManager(secret="projects/p/secrets/s")}
    given = pull_job(here, {}, hub)
    assert given.credentials == {"hub_token": FromCaller(value="planted-7c1d")}
    assert "planted-7c1d" not in repr(given) + given.document.to_json()
    assert pull_job(there, {}, source).credentials == {}
