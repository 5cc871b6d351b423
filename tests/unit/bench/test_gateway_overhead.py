"""The bench measures what it says: events are counted one by one, and losses and mergers would show."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.client import Address, Streamed, split_chunks
from bench.gateways import Way, rows
from bench.report import Figure, Sample, figures_of

ROOT = Path(__file__).resolve().parents[3]


def event(number: int) -> bytes:
    return b'data: {"number":%d,"made_ns":1000000000}\n\n' % number


def streamed(*chunks: bytes) -> Streamed:
    seen = Streamed(asked_events=3)
    for chunk in chunks:
        seen.take(chunk, 1_500_000_000)
    return seen


@pytest.mark.parametrize("cut", range(30))
def test_chunks_come_out_of_any_split_of_the_bytes(cut: int) -> None:
    data = b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"
    first, rest = split_chunks(data[:cut])
    second, rest = split_chunks(rest + data[cut:])
    assert (first + second, rest) == ([b"hello", b"0123456789"], b"0\r\n\r\n")


def test_a_stream_without_fault_has_none_and_knows_its_transits() -> None:
    seen = streamed(event(0), event(1), event(2), b"data: [DONE]\n\n")
    assert (seen.lost, seen.merged, seen.transits_s) == (0, 0, [0.5, 0.5, 0.5])


@pytest.mark.parametrize(
    ("chunks", "lost", "merged"),
    [
        ([event(0), event(2), b"data: [DONE]\n\n"], 2, 0),
        ([event(1), event(0), event(2), b"data: [DONE]\n\n"], 2, 0),
        ([event(0), event(1), event(2)], 1, 0),
        ([event(0) + event(1) + event(2), b"data: [DONE]\n\n"], 0, 2),
    ],
    ids=["lost", "reordered", "no-end", "merged"],
)
def test_faults_are_counted(chunks: list[bytes], lost: int, merged: int) -> None:
    seen = streamed(*chunks)
    assert (seen.lost, seen.merged) == (lost, merged)


def test_what_is_added_is_the_median_of_the_differences_within_rounds() -> None:
    def took(latency_s: float, rate: float) -> Sample:
        seen = streamed(event(0), event(1), event(2), b"data: [DONE]\n\n")
        return Sample(latencies_s=[latency_s], requests_per_s=rate, paced=[seen], events_per_s=1)

    quiet, busy, odd = (took(0.010, 9), took(0.012, 5)), (took(0.110, 7), took(0.113, 6)), (took(0.2, 8), took(0.1, 4))
    figures = {figure.name: figure for figure in figures_of([quiet, busy, odd], 50.0)}
    assert figures["added to an answer, 1 client, p50"].value == pytest.approx(2.0)
    assert figures["requests, 16 clients"].value == 5
    assert figures["requests, 16 clients"].direct == 8
    assert figures["requests, 16 clients"].verdict == "worse"
    assert Figure(name="x", unit="ms", value=0.7, bar=0.7).verdict == "pass"


def test_a_short_run_measures_the_real_gateway_without_losing_an_event() -> None:
    command = [sys.executable, "-m", "bench.gateway_overhead", "--rounds", "1", "--scale", "0.05", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    report = json.loads(done.stdout)
    figures = {figure["name"]: figure for figure in report["figures"]}
    assert figures["events lost or out of order"]["value"] == 0
    assert min(figures["events, 32 streams"]["direct"], figures["events, 32 streams"]["value"]) > 100
    assert 10 < figures["memory of the gateway"]["value"] < 200
    assert (report["rounds"], len(report["load_average"])) == (1, 2)


def test_ways_are_compared_by_medians_over_the_rounds_with_ours_as_one() -> None:
    def way(name: str, rates: tuple[float, ...], cpu_s: float) -> Way:
        seen = streamed(event(0), event(1)[:9], event(1)[9:] + event(2), b"data: [DONE]\n\n")
        seen.first_event_s = 0.25
        samples = [Sample(requests_per_s=rate, paced=[seen]) for rate in rates]
        return Way(name, Address(), (), samples, [cpu_s] * len(rates))

    found = rows([way("engine", (4000,), 1e-5), way("ours", (1000, 10, 2000), 3e-4), way("other", (500,), 2e-4)])
    assert [(row["way"], row["requests a second"], row["of ours"]) for row in found] == [
        ("engine", 4000, 4.0),
        ("ours", 1000, 1.0),
        ("other", 500, 0.5),
    ]
    assert [round(float(row["CPU us a request"])) for row in found] == [10, 300, 200]
    assert (found[1]["first token p99 ms"], found[1]["events lost"], found[1]["merged"], found[1]["torn"]) == (
        250,
        0,
        3,
        3,
    )
