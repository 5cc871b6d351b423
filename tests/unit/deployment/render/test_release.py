"""What a release is, and which change of it makes which process restart."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployment.render.release import Release, RenderedFile, compose, digest_of

GATEWAY = {"listen": [{"host": "127.0.0.1", "port": 8080}], "models": [{"name": "alpha", "aliases": []}]}
FILES = {
    "engines/alpha.yaml": "max-model-len: 1024\n",
    "engines/alpha.env": "OMP_NUM_THREADS=1\n",
    "engines/beta.yaml": "max-model-len: 2048\n",
    "engines/beta.env": "OMP_NUM_THREADS=2\n",
    "gateway.json": json.dumps(GATEWAY),
    "lib/gateway/app.py": "x = 1\n",
    "supervisord.conf": "[supervisord]\n",
}
CHECKPOINTS = {"alpha": "aaaa", "beta": "bbbb"}


def release(changes: dict[str, str] | None = None, **given: Any) -> Release:
    texts = {**FILES, **(changes or {})}
    files = [RenderedFile(path=path, text=text) for path, text in texts.items()]
    arguments: dict[str, Any] = {"build": "b1", "engines": ["alpha", "beta"], "fingerprints": CHECKPOINTS, **given}
    return compose(files, **arguments)


def gateway(**changes: Any) -> dict[str, str]:
    return {"gateway.json": json.dumps({**GATEWAY, **changes})}


BASE = release()


def restarted(changed: Release) -> set[str]:
    """The processes that have to restart for a release, after BASE."""
    return {name for name in changed.units if changed.units[name] != BASE.units[name]}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (release(), set()),
        (release({"engines/alpha.yaml": "max-model-len: 512\n"}), {"alpha"}),
        (release({"engines/beta.env": "OMP_NUM_THREADS=3\n"}), {"beta"}),
        (release(fingerprints={"alpha": "other", "beta": "bbbb"}), {"alpha"}),
        (release(build="b2"), {"alpha", "beta", "gateway"}),
        (release({"lib/gateway/app.py": "x = 2\n"}), {"gateway"}),
        (release({"lib/gateway/new.py": "\n"}), {"gateway"}),
        (release({"lib/agent/launch.py": "\n"}), {"gateway"}),
        (release(gateway(listen=[{"host": "0.0.0.0", "port": 8080}])), {"gateway"}),
        (release(gateway(tls={"certificate": "/a.pem", "key": "/a.key"})), {"gateway"}),
        (release(gateway(models=[{"name": "alpha", "aliases": ["first"]}])), set()),
        (release({"supervisord.conf": "[supervisord]\nnodaemon = true\n"}), set()),
    ],
)
def test_a_process_restarts_if_and_only_if_something_changed_that_it_reads_once(
    changed: Release, expected: set[str]
) -> None:
    assert restarted(changed) == expected


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("vllm@.service", {"alpha", "beta"}),
        ("vllm@alpha.service.d/50-resources.conf", {"alpha"}),
        ("vllm@alpha.service.d/20-order.conf", set()),  # it counts from the next start
        ("gateway.service", {"gateway"}),
        ("gateway.socket", {"gateway"}),
        ("gateway-keys.service", {"gateway"}),
        ("gateway-restart.service", set()),  # it starts no process of ours
        ("axion.target", set()),
        ("axion.slice", set()),
    ],
)
def test_under_systemd_what_starts_a_process_counts_for_it(unit: str, expected: set[str]) -> None:
    before, after = (release({f"systemd/{unit}": f"[Service]\nNice={number}\n"}) for number in (1, 2))
    assert {name for name in after.units if after.units[name] != before.units[name]} == expected


def test_a_changed_alias_is_a_reload_of_the_gateway() -> None:
    changed = release(gateway(models=[{"name": "alpha", "aliases": ["first"]}]))
    assert changed.gateway_config_digest != BASE.gateway_config_digest
    assert changed.digest != BASE.digest


def test_the_gateways_digest_is_the_one_that_it_reports_of_its_file() -> None:
    """It digests the bytes it read; both sides must arrive at the same digits."""
    assert BASE.gateway_config_digest == hashlib.sha256(FILES["gateway.json"].encode()).hexdigest()


@pytest.mark.parametrize("path", FILES)
def test_every_file_counts_for_the_release(path: str) -> None:
    text = json.dumps({**GATEWAY, "default_model": "alpha"}) if path == "gateway.json" else FILES[path] + "#\n"
    assert release({path: text}).digest != BASE.digest


@given(st.permutations(sorted(FILES)), st.permutations(["alpha", "beta"]))
def test_the_order_in_which_files_and_engines_come_is_nothing(paths: list[str], engines: list[str]) -> None:
    files = [RenderedFile(path=path, text=FILES[path]) for path in paths]
    other = compose(files, build="b1", engines=engines, fingerprints=dict(reversed(CHECKPOINTS.items())))
    assert other.digest == BASE.digest
    assert other.files == BASE.files
    assert dict(other.units) == dict(BASE.units)


@given(st.dictionaries(st.sampled_from(["alpha.yaml", "alpha.env", "beta.yaml", "beta.env"]), st.text(max_size=9)))
def test_engines_never_restart_for_each_other(texts: dict[str, str]) -> None:
    changed = release({f"engines/{path}": text for path, text in texts.items()})
    real = {path.partition(".")[0] for path, text in texts.items() if text != FILES[f"engines/{path}"]}
    assert restarted(changed) == real


def test_arguments_moved_between_two_files_are_another_engine() -> None:
    """A digest of the texts one after the other would not see it."""
    moved = {"engines/alpha.yaml": "", "engines/alpha.env": FILES["engines/alpha.yaml"] + FILES["engines/alpha.env"]}
    assert restarted(release(moved)) == {"alpha"}


def test_the_engines_of_a_release_are_its_units_without_the_gateway() -> None:
    assert set(BASE.units) == {"alpha", "beta", "gateway"}
    assert BASE.engines == {name: BASE.units[name] for name in ("alpha", "beta")}


def test_names_sort_by_age_and_say_which_content() -> None:
    older, newer = BASE.name("20260131T120000"), BASE.name("20260131T120001")
    assert older < newer
    assert older == f"20260131T120000-{BASE.digest[:8]}"


def test_the_description_holds_what_a_host_needs_to_know() -> None:
    described = BASE.description(created_at="20260131T120000", source="/home/me/models.yaml", sequence=7, follows="r6")
    assert described.path == "release.json"
    content = json.loads(described.text)
    assert content.pop("files") == {path: hashlib.sha256(text.encode()).hexdigest() for path, text in FILES.items()}
    assert content == {
        "schema": "axion.release/1",
        "digest": BASE.digest,
        "created_at": "20260131T120000",
        "source": "/home/me/models.yaml",
        "sequence": 7,
        "follows": "r6",
        "on_demand": [],
        "build": "b1",
        "units": dict(BASE.units),
        "gateway_config_digest": BASE.gateway_config_digest,
        "listen": ["127.0.0.1:8080"],
    }


def test_when_and_where_it_was_made_is_no_part_of_its_digest() -> None:
    one = BASE.description(created_at="20260131T120000", source="a", sequence=1, follows=None)
    other = BASE.description(created_at="20260201T120000", source="b", sequence=2, follows="r1")
    assert one.text != other.text
    assert json.loads(one.text)["digest"] == json.loads(other.text)["digest"]


def test_digests_are_the_same_on_every_machine() -> None:
    """As `printf '["a", {"b": 1, "c": 2}]' | sha256sum` says."""
    assert digest_of("a", {"c": 2, "b": 1}) == hashlib.sha256(b'["a", {"b": 1, "c": 2}]').hexdigest()[:16]
    assert digest_of("a", {"c": 2, "b": 1}) == "6d024886aeda1827"
    assert digest_of("a", "b") != digest_of("ab")


def test_a_release_without_a_models_files_is_a_mistake_of_ours() -> None:
    with pytest.raises(KeyError, match=r"engines/gamma\.yaml"):
        release(engines=["gamma"])
