"""Operators whose clocks are days apart deploy to one host: what served before is what a rollback returns to."""

from pathlib import Path

import pytest

from tests.support.clock import wrong_clock
from tests.support.local_deployment import LocalDeployment, local_deployment

DAY_S = 86400.0


def deployed(host: LocalDeployment, place: Path, monkeypatch: pytest.MonkeyPatch, alias: str, shift_s: float) -> str:
    """Deploy something else, by an operator with this clock."""
    host.models["alpha"]["aliases"] = [alias]
    with monkeypatch.context() as patched:
        for name, value in wrong_clock(place, shift_s).items():
            patched.setenv(name, value)
        host.deploy()
    return str(host.link("current"))


def test_rollbacks_go_back_in_the_order_in_which_releases_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with local_deployment(tmp_path) as host:
        place, host.models = tmp_path / "clock", {"alpha": host.models["alpha"]}
        made = [
            deployed(host, place, monkeypatch, alias, shift_s)
            for alias, shift_s in (("today", 0.0), ("ahead", DAY_S), ("again", 0.0), ("epoch", -20000 * DAY_S))
        ]
        assert made[3].startswith("197")
        assert sorted(made) == [made[3], *sorted((made[0], made[2])), made[1]], "their names are in another order"
        assert [row["release"] for row in host.json("releases")] == made
        for earlier in reversed(made[:3]):
            host.succeed("rollback")
            assert host.link("current") == earlier
        assert "no earlier release" in host.refuse("rollback")
        # What was rolled back from does not come back by the next rollback.
        fifth = deployed(host, place, monkeypatch, "fifth", -DAY_S)
        assert fifth not in made
        host.succeed("rollback")
        assert host.link("current") == made[0]
        host.succeed("rollback", "--release", made[1])
        assert host.link("current") == made[1]
        # The newest by count stay, whatever their names.
        sixth = deployed(host, place, monkeypatch, "sixth", 0.0)
        assert host.releases() == sorted([*made[1:], fifth, sixth])
