"""Stop this machine when nobody has used it for as many minutes as its metadata says.

Use is: a request that finished or is in flight at the gateway, something typed or printed in a terminal, or a younger
time stamp of <run>/awake, which long work such as a build touches. A gateway that does not answer serves nobody. The
count starts at boot. Runs once a minute on the system's Python: standard library only.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from operator import index
from pathlib import Path

METADATA = "http://metadata.google.internal/computeMetadata/v1"
COMPUTE = "https://compute.googleapis.com/compute/v1"
TIMEOUT_S = 10
NEVER = float("-inf")
DRAIN_TIMEOUT_S = 12 * 60
ODD = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, http.client.InvalidURL)
"""What comes of a document that is not what it should be."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the machine found."""

    requests: int | None
    in_flight: int
    touched_s: float
    """When a terminal or <run>/awake was touched last, by the boot clock; -inf for never."""
    odd: str = ""
    """What kept it from counting the gateway's requests, in a sentence."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is kept between two looks."""

    used_s: float
    """When the machine was last used, by the boot clock."""
    requests: int | None
    odd: str = ""
    """What was told already, and is not told again while it goes on."""


def judge(look: Look, record: Record, now_s: float) -> Record:
    """Decide when the machine was last used. A count that went back belongs to a restarted gateway, which was used."""
    is_used = look.in_flight > 0 or (look.requests is not None and look.requests != (record.requests or 0))
    used_s = now_s if is_used else max(record.used_s, look.touched_s)
    return Record(used_s, record.requests if look.requests is None else look.requests, look.odd)


def main(arguments: argparse.Namespace) -> int:
    """Look once, remember, and stop the machine if its time is up."""
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME)
    run = Path(arguments.run)
    before = recall(run / "idle.json", now_s)
    record = judge(look_around(arguments, now_s), before, now_s)
    if record.odd and record.odd != before.odd:
        print(f"axion: {record.odd}", flush=True)
    idle_minutes = (now_s - record.used_s) / 60
    text = json.dumps({**asdict(record), "idle_minutes": round(idle_minutes, 1)})
    (run / "idle.json").write_text(text, encoding="utf-8")
    limit = attribute(arguments.metadata, "instance/attributes/axion-idle-stop-minutes")
    if limit is None or not limit.isdecimal() or idle_minutes < int(limit):
        return 0
    print(f"axion: idle for {idle_minutes:.0f} of {limit} minutes, stopping", flush=True)
    subprocess.run(["systemctl", "stop", "axion.target"], check=False, timeout=DRAIN_TIMEOUT_S)
    return stop(arguments.metadata, arguments.compute)


def look_around(arguments: argparse.Namespace, now_s: float) -> Look:
    """Ask the gateway, the terminals and the time stamp."""
    requests, in_flight, odd = gateway_counts(Path(arguments.root) / "current" / "gateway.json")
    stamps = [Path(arguments.run) / "awake", *Path(arguments.terminals).glob("[0-9]*")]
    ages_s = [time.time() - max(found.st_mtime, found.st_atime) for found in map(status, stamps) if found]
    # A time stamp of the future is a clock that was set: it counts as now.
    return Look(requests, in_flight, max((now_s - max(0.0, age_s) for age_s in ages_s), default=NEVER), odd)


def status(path: Path) -> os.stat_result | None:
    """Look at a file that may go away meanwhile."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def gateway_counts(config: Path) -> tuple[int | None, int, str]:
    """Return finished requests and those in flight, over all models; None and 0 where no gateway answers.

    The third says what cannot be read, if something cannot. Whoever answers may be serving somebody: of an odd answer
    one request is in flight, for no machine in use is stopped over what its gateway says.
    """
    url = None
    try:
        listen = json.loads(config.read_text(encoding="utf-8"))["listen"][0]
        host = "127.0.0.1" if listen["host"] == "0.0.0.0" else listen["host"]  # noqa: S104 - compared, not bound
        connection = http.client.HTTPConnection(host, int(listen["port"]), timeout=TIMEOUT_S)
        connection.request("GET", "/stats")
        said, url = connection.getresponse().read(), f"http://{host}:{listen['port']}/stats"
        models = json.loads(said)["models"].values()
        requests, in_flight = (sum(index(each[key]) for each in models) for key in ("requests_total", "in_flight"))
        return requests, in_flight, ""
    except ODD:
        if url is not None:
            return None, 1, f"{url} cannot be read: the host counts as used"
        return None, 0, f"{config} cannot be read: the gateway's requests do not count"
    except (OSError, http.client.HTTPException):
        return None, 0, ""


def recall(file: Path, now_s: float) -> Record:
    """Read the record of the last look; since boot nothing was used when there is none. An odd one begins anew."""
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        used_s, requests = float(data["used_s"]), data["requests"]
        if NEVER < used_s <= now_s and (requests is None or type(requests) is int):
            return Record(used_s, requests, str(data.get("odd", "")))
    except OSError:
        return Record(used_s=0.0, requests=None)
    except ODD:
        pass
    print(f"axion: {file} cannot be read: counting anew", flush=True)
    return Record(used_s=now_s, requests=None)


def attribute(metadata: str, path: str) -> str | None:
    """Read one value from the metadata server; None for one that is not set."""
    request = urllib.request.Request(f"{metadata}/{path}", headers={"Metadata-Flavor": "Google"})  # noqa: S310 - http
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - a fixed http address
            return str(answer.read().decode())
    except urllib.error.HTTPError:
        return None


def stop(metadata: str, compute: str) -> int:
    """Ask Google to stop this instance; where that is refused, shut the system down, which stops it as well."""
    try:
        token = json.loads(attribute(metadata, "instance/service-accounts/default/token") or "{}")["access_token"]
        zone = str(attribute(metadata, "instance/zone")).rpartition("/")[2]
        project, name = attribute(metadata, "project/project-id"), attribute(metadata, "instance/name")
        # Only a machine with local SSD reads the parameter, and would refuse to stop without it.
        address = f"{compute}/projects/{project}/zones/{zone}/instances/{name}/stop?discardLocalSsd=true"
        headers = {"Authorization": f"Bearer {token}", "Content-Length": "0"}
        request = urllib.request.Request(address, method="POST", headers=headers)  # noqa: S310 - a fixed https address
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - a fixed https address
            operation = json.loads(answer.read()).get("name")
        print(f"axion: stopping, operation {operation}", flush=True)
        return 0
    except (OSError, *ODD, http.client.HTTPException) as error:
        print(f"axion: Google did not stop this machine ({error}), shutting down", file=sys.stderr)
        return subprocess.run(["systemctl", "poweroff"], check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default="/opt/axion")
    parser.add_argument("--run", default="/run/axion")
    parser.add_argument("--terminals", default="/dev/pts")
    parser.add_argument("--metadata", default=METADATA)
    parser.add_argument("--compute", default=COMPUTE)
    sys.exit(main(parser.parse_args()))
