"""What a deployment decides to do, from facts alone."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.protocol import ReleaseDescription
from build.deploy.diff import Desired, Diff, decide, file_changes, release_name
from build.deploy.facts import Facts
from deployment.render.release import RenderedFile, compose
from tests.support.hosts import DESCRIPTION, FILES, RELEASE, empty_facts, facts

WANTED = Desired.described(RELEASE, DESCRIPTION)
NOTHING = Diff(
    is_build=False,
    is_upload=False,
    is_switch=False,
    start=(),
    restart=(),
    stop=(),
    gateway="keep",
    is_runner_up=True,
    is_confirmed=True,
)
NEW = "20260201T120000-bbbbbbbb"


def desired(**changes: Any) -> Desired:
    """A new release that differs from the running one as told."""
    return replace(WANTED, release=NEW, **changes)


def running(**engines: str) -> dict[str, Any]:
    return {name: {"unit_digest": digest, "pid": 11} for name, digest in engines.items()}


def gateway(**changes: Any) -> dict[str, Any]:
    return {"unit_digest": "ug", "config_digest": "g1", "models": {}, **changes}


NEWS = replace(NOTHING, is_upload=True, is_switch=True, is_confirmed=False)


@pytest.mark.parametrize(
    ("goal", "host", "expected"),
    [
        pytest.param(WANTED, facts(), NOTHING, id="nothing to do"),
        pytest.param(
            WANTED,
            empty_facts(),
            replace(
                NEWS, is_build=True, start=("alpha", "beta"), gateway="start", is_runner_up=False, is_confirmed=False
            ),
            id="first deployment",
        ),
        pytest.param(desired(), facts(), NEWS, id="only files that nobody has to restart for"),
        pytest.param(
            desired(engines={"alpha": "u9", "beta": "u2"}), facts(), replace(NEWS, restart=("alpha",)), id="restart one"
        ),
        pytest.param(
            desired(engines={"alpha": "u1", "beta": "u2", "gamma": "u3"}),
            facts(),
            replace(NEWS, start=("gamma",)),
            id="start one",
        ),
        pytest.param(desired(engines={"alpha": "u1"}), facts(), replace(NEWS, stop=("beta",)), id="stop one"),
        pytest.param(
            replace(WANTED, on_demand=frozenset({"beta"})),
            facts(engines=running(alpha="u1")),
            NOTHING,
            id="one on demand sleeps",
        ),
        pytest.param(replace(WANTED, on_demand=frozenset({"beta"})), facts(), NOTHING, id="one on demand is loaded"),
        pytest.param(
            desired(engines={"alpha": "u1", "beta": "u9"}, on_demand=frozenset({"beta"})),
            facts(),
            replace(NEWS, unload=("beta",), prove=("beta",)),
            id="one on demand is loaded and has changed",
        ),
        pytest.param(
            desired(engines={"alpha": "u1", "beta": "u9"}, on_demand=frozenset({"beta"})),
            facts(engines=running(alpha="u1")),
            replace(NEWS, prove=("beta",)),
            id="one on demand sleeps and has changed",
        ),
        pytest.param(
            desired(engines={"alpha": "u9", "beta": "u2"}, on_demand=frozenset({"beta"})),
            facts(),
            replace(NEWS, restart=("alpha",)),
            id="another one than that on demand has changed",
        ),
        pytest.param(
            desired(engines={"alpha": "u1", "beta": "u2", "gamma": "u3"}, on_demand=frozenset({"beta"})),
            facts(),
            replace(NEWS, start=("gamma",), unload=("beta",)),
            id="one that always runs needs memory first",
        ),
        pytest.param(
            desired(gateway_config_digest="g2"), facts(), replace(NEWS, gateway="reload"), id="reload the gateway"
        ),
        pytest.param(desired(gateway_unit="ug2"), facts(), replace(NEWS, gateway="restart"), id="restart the gateway"),
        pytest.param(
            desired(gateway_unit="ug2", gateway_config_digest="g2"),
            facts(),
            replace(NEWS, gateway="restart"),
            id="a restart of the gateway reads the configuration too",
        ),
        pytest.param(WANTED, facts(gateway=None), replace(NOTHING, gateway="start"), id="the gateway is down"),
        pytest.param(
            WANTED,
            facts(gateway=gateway(unit_digest=None)),
            replace(NOTHING, gateway="restart"),
            id="the gateway does not know its own release",
        ),
        pytest.param(WANTED, facts(confirmed=None), replace(NOTHING, is_confirmed=False), id="never confirmed"),
        pytest.param(WANTED, facts(confirmed=NEW), replace(NOTHING, is_confirmed=False), id="another one confirmed"),
        pytest.param(WANTED, facts(builds=[]), replace(NOTHING, is_build=True), id="the environment is gone"),
        pytest.param(
            WANTED, facts(engines=running(beta="u2")), replace(NOTHING, start=("alpha",)), id="an engine is down"
        ),
        pytest.param(
            WANTED,
            facts(engines=running(alpha="u0", beta="u2")),
            replace(NOTHING, restart=("alpha",)),
            id="an engine that an interrupted deployment did not restart",
        ),
        pytest.param(
            WANTED,
            facts(runner=None, engines={}, gateway=None),
            replace(NOTHING, start=("alpha", "beta"), gateway="start", is_runner_up=False),
            id="everything was stopped",
        ),
        pytest.param(
            WANTED,
            facts(current=NEW, releases={RELEASE: DESCRIPTION, NEW: DESCRIPTION}),
            replace(NOTHING, is_switch=True),
            id="back to a release that the host has",
        ),
    ],
)
def test_what_is_done_follows_from_what_is_wanted_and_what_is_there(goal: Desired, host: Facts, expected: Diff) -> None:
    assert decide(goal, host) == expected


EDITED = {**FILES, "engines/alpha.yaml": "by hand"}


def test_an_engine_whose_files_were_edited_by_hand_restarts_with_what_was_rendered() -> None:
    """Nobody knows whether it was started before the edit or after: its launcher reports the digest of the release."""
    assert decide(desired(), facts(files=EDITED)).restart == ("alpha",)


@pytest.mark.parametrize("path", ["lib/gateway/app.py", "lib/gateway/added.py"])
def test_a_gateway_whose_code_was_edited_by_hand_restarts(path: str) -> None:
    assert decide(desired(), facts(files={**FILES, path: "by hand"})).gateway == "restart"


def test_an_edited_file_that_no_process_reads_restarts_nothing() -> None:
    diff = decide(desired(), facts(files={**FILES, "Procfile": "by hand"}))
    assert (diff.restart, diff.gateway) == ((), "keep")


@pytest.mark.parametrize(
    "diff",
    [
        replace(NOTHING, is_build=True),
        replace(NOTHING, is_upload=True),
        replace(NOTHING, is_switch=True),
        replace(NOTHING, start=("alpha",)),
        replace(NOTHING, restart=("alpha",)),
        replace(NOTHING, stop=("alpha",)),
        replace(NOTHING, gateway="reload"),
        replace(NOTHING, is_confirmed=False),
    ],
)
def test_nothing_means_that_nothing_at_all_is_left_to_do(diff: Diff) -> None:
    assert NOTHING.is_nothing
    assert not diff.is_nothing


DIGESTS = st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["u1", "u2", "u3"]), max_size=5)


@given(DIGESTS, DIGESTS)
def test_after_its_steps_exactly_the_wanted_engines_run(want: dict[str, str], have: dict[str, str]) -> None:
    diff = decide(replace(WANTED, engines=want), facts(engines=running(**have)))
    after = {name: digest for name, digest in have.items() if name not in (*diff.stop, *diff.restart)}
    after |= {name: want[name] for name in (*diff.start, *diff.restart)}
    assert after == want
    touched = [*diff.start, *diff.stop, *diff.restart]
    assert len(touched) == len(set(touched))


LISTEN = '{"listen": [{"host": "127.0.0.1", "port": 8080}]}'
RELEASED = compose(
    [RenderedFile(path="engines/a.yaml", text="x\n"), RenderedFile(path="engines/a.env", text="y\n"),
     RenderedFile(path="gateway.json", text=LISTEN)],
    build="b1",
    engines=["a"],
    fingerprints={},
)  # fmt: skip


def having(digest: str, files: dict[str, str]) -> Facts:
    return facts(releases={RELEASE: replace(DESCRIPTION, digest=digest)}, files=files)


SAME = {file.path: file.digest for file in RELEASED.files}


def test_a_release_that_is_there_already_keeps_its_name() -> None:
    assert release_name(RELEASED, having(RELEASED.digest, SAME), stamp="20260201T120000") == RELEASE


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(having("another", SAME), id="another environment or other weights"),
        pytest.param(having(RELEASED.digest, {**SAME, "engines/a.env": "by hand"}), id="edited by hand"),
        pytest.param(having(RELEASED.digest, {**SAME, "left.over": "by hand"}), id="a file too many"),
        pytest.param(empty_facts(), id="nothing there"),
    ],
)
def test_anything_else_gets_a_name_of_its_own(host: Facts) -> None:
    assert release_name(RELEASED, host, stamp="20260201T120000") == f"20260201T120000-{RELEASED.digest[:8]}"


def test_changed_added_and_removed_files_are_named_in_order() -> None:
    host = facts(files={"engines/a.yaml": "other", "engines/a.env": SAME["engines/a.env"], "old.conf": "x"})
    assert file_changes(RELEASED, host) == {"engines/a.yaml": "changed", "gateway.json": "added", "old.conf": "removed"}


def test_a_rendered_release_and_its_description_want_the_same() -> None:
    """A rollback reads back what a deployment wrote."""
    written = RELEASED.description(created_at="", source="", sequence=1, follows=None).text
    described = ReleaseDescription.from_json(written)
    assert Desired.described(NEW, described) == Desired.rendered(RELEASED, NEW, "127.0.0.1:8080")
