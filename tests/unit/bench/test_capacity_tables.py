"""docs/capacity.md has the tables that are computed."""

from pathlib import Path

import pytest

from bench.capacity import TARGETS, engine_alone, main
from bench.expected import BASELINE, MACHINE
from deployment.capacity.engine import engine_of
from deployment.models.load import load_deployment


def test_the_document_has_the_tables_that_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """After a change of models, kernels or prices: `python -m bench.capacity` prints what belongs there."""
    main()
    tables = capsys.readouterr().out.rstrip().split("\n\n")
    assert len(tables) == 2
    document = Path("docs/capacity.md").read_text()
    assert [table for table in tables if table not in document] == []


def test_its_rows_are_those_of_the_readme_where_they_say_the_same() -> None:
    deployment = load_deployment(Path("models.yaml"))
    for name in TARGETS:
        here = engine_alone(deployment, name, 32, 200).tokens_per_s(512)
        assert here == engine_of(deployment.models[name], MACHINE, BASELINE, threads=27).tokens_per_s(512)
