"""A report for people, against literals."""

from xml.etree import ElementTree

import pytest

from agent.bench_messages import Generated
from build.benchmark.document import SCHEMA, Report, read_report, to_json
from build.benchmark.figures import load_of
from build.benchmark.plots import bars, distribution, lines, number, ticks
from build.benchmark.render import figures, html, markdown
from build.errors import DeployError
from tests.support.bench_reports import cell, generated, report

SPEED = "| alpha | - | chat | 1 | cold | 7.33 | 40 | 500 | 500 | 100 | 100 | 1.5 | 1.5 | - | - |"
ROOFLINE = "| alpha | 2 | 0.700 | 0.090 | 0.010 | 0.800 | 16.0 | 20 | 10 | 50% | memory bandwidth |"
QUALITY = "| alpha | 1.000 | 4 | 28 of 30 | - |"


def test_markdown_has_every_figure_and_how_it_was_obtained() -> None:
    text = markdown(report())
    lines_ = text.splitlines()
    assert lines_[0] == "# Benchmark of somewhere, 2026-12-01T00:00:00Z"
    assert {SPEED, ROOFLINE, QUALITY, "| 2 | 16.0 | 12.0 | 13.0 |", "| bfloat16 | 200 |"} <= set(lines_)
    headings = [line for line in lines_ if line.startswith("## ")]
    for heading in headings:
        how = lines_[lines_.index(heading) + 2]
        assert how.startswith(("Measured", "Modelled", "As lscpu")), heading


def test_what_is_doubtful_is_noted_in_its_row() -> None:
    bad = cell([load_of("a", generated([1.5] * 4, counted=43)), load_of("b", Generated(None, "a | b", 0, {}, {}))])
    text = markdown(report(bad.model_copy(update={"overlap_share": 0.5})))
    assert "the engine counted 43 tokens, the client 44; all models were asked in 50% of the time only" in text
    assert r"no result: a \| b" in text


def test_the_page_stands_alone() -> None:
    page = html(report())
    assert "http" not in page.replace("http://www.w3.org", "")
    assert "<script" not in page
    assert page.count("<svg") == page.count("</svg>") == 4
    assert "<td>50%</td>" in page


def test_a_plot_is_well_formed_and_names_itself_and_its_lines() -> None:
    for title, svg in figures(report()):
        root = ElementTree.fromstring(svg)  # noqa: S314 - we drew it
        assert root.get("aria-label") == title
    svg = lines("T", "x", "y", {"a<b": [(1, 10), (2, 20)]})
    assert 'points="336.0,134.0 612.0,14.0"' in svg
    assert "a&lt;b" in svg


def test_a_distribution_is_the_share_at_or_below_each_value() -> None:
    svg = distribution("T", "ms", {"a": [2.0, 1.0]})
    assert 'points="336.0,254.0 336.0,134.0 612.0,134.0 612.0,14.0"' in svg


def test_bars_are_as_long_as_their_values() -> None:
    svg = bars("T", "x", {"a": [("modelled", 10.0), ("measured", 5.0)]})
    assert 'width="380.0"' in svg
    assert 'width="190.0"' in svg


@pytest.mark.parametrize(
    ("most", "marks"),
    [(0, [0, 1]), (1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (8, [0, 2, 4, 6, 8]), (130, [0, 50, 100, 150])],
)
def test_axes_have_round_numbers(most: float, marks: list[float]) -> None:
    assert ticks(most) == pytest.approx(marks)


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (1234.5, "1234"), (12.34, "12.3"), (0.01234, "0.0123"), (100.0, "100")]
)
def test_numbers_have_three_digits_that_matter(value: float, text: str) -> None:
    assert number(value) == text


def test_a_report_is_read_as_it_was_written() -> None:
    made = report()
    assert Report.model_validate_json(to_json(made)) == made
    assert f'"schema": "{SCHEMA}"' in to_json(made)


def test_what_is_no_report_is_refused_with_a_sentence(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("reports")
    with pytest.raises(DeployError, match=r"report.json: cannot be read: No such file or directory. Name a"):
        read_report(directory)
    (directory / "report.json").write_text(to_json(report()).replace("/1", "/9", 1))
    with pytest.raises(DeployError, match=r"no axion.bench-report/1: schema: Input should be 'axion.bench-report/1'"):
        read_report(directory)
