"""What runs on a host: when it counts as unused, how it stops, drains at a notice, and what it reports."""

import json
import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from agent.host_metrics import figures, memory_used, series
from agent.idle_stop import Look, Record, judge
from tests.support.simulated_host import Host, simulated_host


@pytest.mark.parametrize(
    ("look", "used_s"),
    [
        (Look(requests=7, in_flight=0, touched_s=0), 100),  # nothing happened since the last look
        (Look(requests=8, in_flight=0, touched_s=0), 900),  # a request finished
        (Look(requests=0, in_flight=0, touched_s=0), 900),  # the gateway was restarted
        (Look(requests=7, in_flight=1, touched_s=0), 900),  # a long answer is being written
        (Look(requests=None, in_flight=0, touched_s=0), 100),  # no gateway: it serves nobody
        (Look(requests=7, in_flight=0, touched_s=640), 640),  # somebody typed, or a build said that it is there
        (Look(requests=7, in_flight=0, touched_s=50), 100),
    ],
)
def test_a_machine_is_used_by_requests_and_by_hands(look: Look, used_s: float) -> None:
    assert judge(look, Record(used_s=100, requests=7), 900).used_s == used_s


def test_since_boot_nobody_has_used_it() -> None:
    first = judge(Look(requests=None, in_flight=0, touched_s=0), Record(used_s=0, requests=None), 60)
    assert first == Record(used_s=0, requests=None)
    served = judge(Look(requests=0, in_flight=0, touched_s=0), first, 120)
    assert served == Record(used_s=0, requests=0)
    assert judge(Look(requests=2, in_flight=0, touched_s=0), served, 180).used_s == 180


def test_a_gateway_that_is_away_for_a_look_does_not_count_as_a_request() -> None:
    gone = judge(Look(requests=None, in_flight=0, touched_s=0), Record(used_s=100, requests=7), 900)
    assert judge(Look(requests=7, in_flight=0, touched_s=0), gone, 960).used_s == 100


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with simulated_host(tmp_path) as made:
        yield made


def test_an_unused_machine_drains_and_has_google_stop_it(host: Host) -> None:
    host.metadata.values["instance/attributes/axion-idle-stop-minutes"] = "30"
    host.was_used(31)
    done = host.idle_stop()
    assert (done.returncode, done.stderr) == (0, "")
    assert host.commands == ["stop axion.target"]
    path = "/projects/a-project/zones/us-central1-a/instances/axion-dev-main/stop?discardLocalSsd=true"
    assert host.metadata.posted == [(path, "Bearer ya29.token", "")]
    assert "ya29" not in done.stdout


def test_a_machine_used_a_while_ago_goes_on(host: Host) -> None:
    host.metadata.values["instance/attributes/axion-idle-stop-minutes"] = "30"
    host.was_used(29)
    assert host.idle_stop().returncode == 0
    assert (host.commands, host.metadata.posted) == ([], [])
    assert host.idle_minutes == pytest.approx(29, abs=0.2)


def test_without_a_limit_it_never_stops_but_counts(host: Host) -> None:
    host.was_used(5000)
    assert host.idle_stop().returncode == 0
    assert (host.commands, host.metadata.posted) == ([], [])
    assert host.idle_minutes == pytest.approx(5000, abs=0.2)


def test_a_machine_that_google_does_not_stop_shuts_itself_down(host: Host) -> None:
    host.metadata.values["instance/attributes/axion-idle-stop-minutes"] = "30"
    host.metadata.post_status = 403
    host.was_used(31)
    assert host.idle_stop().returncode == 0
    assert host.commands == ["stop axion.target", "poweroff"]


@pytest.mark.parametrize("stamp", ["awake", "pts/3"])
def test_a_build_or_a_keystroke_keeps_it_awake(host: Host, stamp: str) -> None:
    host.metadata.values["instance/attributes/axion-idle-stop-minutes"] = "30"
    host.was_used(500)
    (host.root / "pts").mkdir()
    (host.root / stamp).touch()
    assert host.idle_stop().returncode == 0
    assert host.commands == []
    ten_minutes_ago = time.time() - 600
    os.utime(host.root / stamp, (ten_minutes_ago, ten_minutes_ago))
    host.was_used(500)
    host.idle_stop()
    assert host.idle_minutes == pytest.approx(10, abs=0.2)
    an_hour_ago = time.time() - 3600
    os.utime(host.root / stamp, (an_hour_ago, an_hour_ago))
    host.was_used(500)
    host.idle_stop()
    assert host.commands == ["stop axion.target"]


def test_requests_are_counted_where_the_gateway_listens(host: Host) -> None:
    served = {"models": {"phi": {"requests_total": 3, "in_flight": 0}, "qwen": {"requests_total": 2, "in_flight": 0}}}

    class Gateway(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/stats" else 404)
            self.end_headers()
            self.wfile.write(json.dumps(served).encode())

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        (host.root / "current").mkdir()
        listen = [{"host": "127.0.0.1", "port": server.server_address[1]}]
        (host.root / "current" / "gateway.json").write_text(json.dumps({"listen": listen}))
        host.was_used(40)
        host.idle_stop()
        assert host.idle_minutes == 0
        host.idle_stop()
        assert json.loads((host.root / "idle.json").read_text())["requests"] == 5
        server.shutdown()


ODD = (
    *("", "{", "[]", "7", "null", '{"used_s": []}', '{"used_s": "5"}', '{"used_s": NaN, "requests": 0}', "[" * 100_000),
    *('{"used_s": 1e400, "requests": 0}', '{"used_s": 5, "requests": "0"}', '{"used_s": 5, "requests": [1]}', b"\xff"),
)


@pytest.mark.parametrize("record", ODD, ids=range(len(ODD)))
def test_after_an_odd_record_it_counts_anew_and_says_so_once(host: Host, record: str | bytes) -> None:
    host.metadata.values["instance/attributes/axion-idle-stop-minutes"] = "30"
    (host.root / "idle.json").write_bytes(record if isinstance(record, bytes) else record.encode())
    first, second = host.idle_stop(), host.idle_stop()
    assert (first.returncode, first.stderr, second.returncode, second.stderr) == (0, "", 0, "")
    assert (first.stdout, second.stdout) == (f"axion: {host.root}/idle.json cannot be read: counting anew\n", "")
    assert host.commands == []
    assert host.idle_minutes == pytest.approx(0, abs=0.2)


def test_without_a_record_it_counts_from_the_boot_and_says_nothing(host: Host) -> None:
    done = host.idle_stop()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert host.idle_minutes == pytest.approx(time.clock_gettime(time.CLOCK_BOOTTIME) / 60, abs=0.2)


def written(host: Host, config: str | bytes) -> Path:
    (host.root / "current").mkdir(exist_ok=True)
    file = host.root / "current" / "gateway.json"
    file.write_bytes(config if isinstance(config, bytes) else config.encode())
    return file


ODD_CONFIGS = (
    *("", "[]", "7", '{"listen": 7}', '{"listen": []}', '{"listen": [7]}', "[" * 100_000, b"\xff"),
    *('{"listen": [{"host": 1, "port": 2}]}', '{"listen": [{"host": "127.0.0.1", "port": 1e30}]}'),
    *('{"listen": [{"host": "a..b", "port": 1}]}', '{"listen": [{"host": "a\\u0000b", "port": 1}]}'),
)


@pytest.mark.parametrize("config", ODD_CONFIGS, ids=range(len(ODD_CONFIGS)))
def test_an_odd_configuration_serves_nobody_and_is_told_once(host: Host, config: str | bytes) -> None:
    """And the stop goes on: else a machine that nobody uses ran for ever."""
    host.metadata.values["instance/attributes/axion-idle-stop-minutes"] = "30"
    file = written(host, config)
    host.was_used(20)
    first, second = host.idle_stop(), host.idle_stop()
    assert (first.returncode, first.stderr, second.returncode, second.stderr) == (0, "", 0, "")
    assert first.stdout == f"axion: {file} cannot be read: the gateway's requests do not count\n"
    assert second.stdout == ""
    assert host.idle_minutes == pytest.approx(20, abs=0.2)
    file.write_text('{"listen": [{"host": "127.0.0.1", "port": 1}]}')
    assert host.idle_stop().stdout == ""
    written(host, config)
    assert host.idle_stop().stdout == first.stdout


@pytest.mark.parametrize(
    "said",
    [
        "",
        "[]",
        '{"models": []}',
        '{"models": {"a": 7}}',
        '{"models": {"a": {"requests_total": "1", "in_flight": 0}}}',
        '{"models": {"a": {"requests_total": 1e400, "in_flight": 0}}}',
        '{"models": {"a": {"requests_total": 5, "in_flight": 1}, "b": {}}}',
        '{"models": {"a": {"requests_total": 1, "in_flight": null}}}',
    ],
)
def test_a_gateway_that_says_anything_may_be_serving_somebody(host: Host, said: str) -> None:
    class Gateway(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said.encode())

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Gateway) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        port = server.server_address[1]
        written(host, json.dumps({"listen": [{"host": "127.0.0.1", "port": port}]}))
        host.was_used(20)
        first, second = host.idle_stop(), host.idle_stop()
        server.shutdown()
    assert (first.returncode, first.stderr, second.stdout) == (0, "", "")
    address = f"http://127.0.0.1:{port}/stats"
    assert first.stdout == f"axion: {address} cannot be read: the host counts as used\n"
    assert host.idle_minutes == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("record", [*ODD, '{"idle_minutes": []}', '{"idle_minutes": NaN}'], ids=range(len(ODD) + 2))
def test_an_odd_record_is_no_figure(tmp_path: Path, record: str | bytes) -> None:
    (tmp_path / "idle.json").write_bytes(record if isinstance(record, bytes) else record.encode())
    assert figures(tmp_path, tmp_path, Path("/proc/meminfo")).keys() == {"memory_used_ratio"}


@pytest.mark.parametrize("token", ["[]", "7", '{"access_token": "a\\nb"}', "{}"])
def test_a_token_that_is_none_shuts_the_machine_down(host: Host, token: str) -> None:
    host.metadata.values["instance/attributes/axion-idle-stop-minutes"] = "30"
    host.metadata.values["instance/service-accounts/default/token"] = token
    host.was_used(31)
    assert host.idle_stop().returncode == 0
    assert host.commands == ["stop axion.target", "poweroff"]


def test_figures_are_reported_under_the_names_that_the_alerts_ask_for(host: Host) -> None:
    host.was_used(40)
    host.idle_stop()
    places = ("--root", str(host.root), "--run", str(host.root), "--monitoring", host.metadata.url)
    done = host.run("host_metrics.py", *places)
    assert (done.returncode, done.stderr) == (0, "")
    ((path, authorization, body),) = host.metadata.posted
    assert (path, authorization) == ("/projects/a-project/timeSeries", "Bearer ya29.token")
    sent = {each["metric"]["type"]: each for each in json.loads(body)["timeSeries"]}
    # The directory is no mount: what would be reported is the boot disk.
    assert sorted(sent) == ["custom.googleapis.com/axion/idle_minutes", "custom.googleapis.com/axion/memory_used_ratio"]
    idle = sent["custom.googleapis.com/axion/idle_minutes"]
    assert idle["metric"]["labels"] == {"stack": "dev", "host": "main"}
    assert idle["resource"]["labels"] == {"project_id": "a-project", "instance_id": "4711", "zone": "us-central1-a"}


def test_figures_that_cannot_be_sent_are_one_line_on_stderr(host: Host) -> None:
    host.metadata.post_status = 403
    done = host.run("host_metrics.py", "--root", "/", "--run", str(host.root), "--monitoring", host.metadata.url)
    assert done.returncode == 1
    assert done.stderr.startswith("axion: figures were not reported: ")
    assert done.stderr.count("\n") == 1
    assert "data_disk_used_ratio" in host.metadata.posted[0][2]


def test_memory_is_used_when_no_process_could_have_it() -> None:
    assert (
        memory_used("MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    250 kB\nHugePages_Total: 0\n") == 0.75
    )


def test_a_point_in_time_is_written_as_google_reads_it() -> None:
    place = {"project_id": "p", "instance_id": "1", "zone": "z", "stack": "s", "host": "h"}
    body = json.loads(json.dumps(series({"idle_minutes": 2.5}, place, 0)))
    assert [one["points"] for one in body["timeSeries"]] == [
        [{"interval": {"endTime": "1970-01-01T00:00:00Z"}, "value": {"doubleValue": 2.5}}]
    ]
