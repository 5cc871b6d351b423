"""What whoever follows a job is told, from the files that it leaves."""

from pathlib import Path

import pytest

from agent import job
from agent.protocol import JobEnded, JobEvent, JobOrder, JobResult, LogLine, StepResult


def test_a_log_with_bytes_that_are_no_text_is_told_to_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a broken disk leaves it. Each byte is told as one character: a follower counts them to know its place."""
    monkeypatch.setattr(job, "still_running", lambda unit, looked: (False, looked))
    line = JobEvent(LogLine("ab")).to_json().encode()
    log = line.replace(b"ab", b"a\xff\xc3\xa9") + b"\n" + b"\0\xfe\n" + line + b"\n"
    (tmp_path / "log").write_bytes(log)
    result = JobResult("k", (StepResult(0, "", ""),))
    (tmp_path / "result.json").write_text(result.to_json())
    job.follow(JobOrder("follow", str(tmp_path), unit="u", key="k"))
    *told, end, last = capsys.readouterr().out.split("\n")
    assert [len(each) + 1 for each in told] == [len(each) + 1 for each in log.split(b"\n")[:-1]]
    assert [JobEvent.from_json(each).event for each in (told[0], told[2], end)] == [
        LogLine("a???"),
        LogLine("ab"),
        JobEnded(result.results),
    ]
    assert (told[1], last) == ("\0?", "")
