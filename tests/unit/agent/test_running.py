"""What running processes say of themselves: read as it was written, also by those from before schemas had names."""

import json
import os
from pathlib import Path

import pytest

from agent.leftovers import boot_id, read_record, traces
from agent.message import MessageError
from agent.process_tree import Traces
from agent.protocol import GatewayState, RunningEngine
from agent.running import EngineRecord, GatewayStats, ModelStats, Percentiles
from tests.unit.agent.test_engine_unit import unit_of

BEFORE = {
    "pid": 7, "start_ticks": 70, "started_at": "2026-11-30T12:00:00Z", "release": "/r/releases/r1", "unit_digest": "d",
    "session": 8, "session_start_ticks": 80, "stdout": "pipe:[9]",
}  # fmt: skip


def test_a_launcher_of_an_earlier_release_is_swept_by_what_it_recorded(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "tiny.json"
    path.write_text(json.dumps({**BEFORE, "boot_id": boot_id()}, indent=1))
    marker = f"AXION_UNIT={tmp_path}:tiny"
    assert traces(tmp_path, "tiny") == Traces(marker=marker, session=8, start_ticks=80, stdout="pipe:[9]")
    for text in (json.dumps({**BEFORE, "boot_id": "another"}), "", "[]", '{"pid": 7}'):
        path.write_text(text)
        assert traces(tmp_path, "tiny") == Traces(marker=marker, session=-1, start_ticks=0, stdout="")


def test_a_record_is_read_as_it_was_written_and_by_who_takes_it_for_plain_json(tmp_path: Path) -> None:
    unit = unit_of(tmp_path)
    unit.prepare()
    unit.write_record(session=os.getpid())
    record = read_record(tmp_path, "tiny")
    assert record is not None
    assert RunningEngine.of_file(unit.record) == RunningEngine(record.unit_digest, record.pid, record.start_ticks)
    assert (record.pid, record.session, record.unit_digest) == (os.getpid(), os.getpid(), "r1-tiny")
    plain = json.loads(unit.record.read_text())
    assert plain["schema"] == "axion.engine-record/1"
    assert (plain["pid"], plain["unit_digest"], plain["start_ticks"]) == (os.getpid(), "r1-tiny", record.start_ticks)


def test_what_a_later_release_adds_to_a_record_is_passed_over_and_what_it_lacks_is_named() -> None:
    assert EngineRecord.from_data({**BEFORE, "boot_id": "b", "cores": 4}).session == 8
    with pytest.raises(MessageError, match=r"axion\.engine-record/1: boot_id is missing"):
        EngineRecord.from_data({**BEFORE, "cores": 4})


def test_stats_are_read_with_and_without_the_name_of_their_schema() -> None:
    none = Percentiles(p50=None, p95=None)
    model = ModelStats(
        state="ready", since=1.5, last_error=None, in_flight=0, requests_total=3, errors_total=1, cancelled_total=0,
        interrupted_total=0, held=0, held_total=2, streamed_events_total=6, sent_bytes_total=90, latency_s=none,
        time_to_first_byte_s=none,
    )  # fmt: skip
    stats = GatewayStats(
        models_loaded=("a",), models_available=("a",), config={"default_model": "a"}, config_digest="c",
        config_error=None, unit_digest="u", pid=1, version="0.1.0", uptime_s=2.0, is_draining=False, rss_bytes=1,
        ram_usage_percent=1.0, models={"a": model},
    )  # fmt: skip
    document = json.loads(stats.to_json())
    assert GatewayStats.from_data(document) == stats
    needed = GatewayState.from_json(stats.to_json())
    assert (needed.unit_digest, needed.models["a"].requests_total, needed.pid) == ("u", 3, 1)
    assert document.pop("schema") == "axion.gateway-stats/1"
    assert GatewayStats.from_data(document) == stats
