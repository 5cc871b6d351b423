"""Report how full the data disk and the memory are, and how long nobody came: what the alerts are made of.

Google's own metrics see a machine from outside; its agent that sees inside would have to be installed. Runs once a
minute on the system's Python: standard library only.
"""

import argparse
import json
import math
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

METADATA = "http://metadata.google.internal/computeMetadata/v1"
MONITORING = "https://monitoring.googleapis.com/v3"
TIMEOUT_S = 10


def figures(root: Path, run: Path, meminfo: Path) -> dict[str, float]:
    """Measure what can be measured; what cannot is left out."""
    found: dict[str, float] = {"memory_used_ratio": memory_used(meminfo.read_text(encoding="utf-8"))}
    # Unmounted, the directory would show the boot disk's figures as the data disk's.
    if os.path.ismount(root):
        space = os.statvfs(root)
        found["data_disk_used_ratio"] = round(1 - space.f_bavail / space.f_blocks, 4)
    try:
        idle_minutes = float(json.loads((run / "idle.json").read_text(encoding="utf-8"))["idle_minutes"])
    except (OSError, ValueError, LookupError, TypeError, OverflowError, RecursionError):
        return found
    return found | ({"idle_minutes": idle_minutes} if math.isfinite(idle_minutes) else {})


def memory_used(meminfo: str) -> float:
    """Return the part of memory that could not be given to a new process."""
    kib = {line.partition(":")[0]: int(line.split()[1]) for line in meminfo.splitlines()}
    return round(1 - kib["MemAvailable"] / kib["MemTotal"], 4)


def series(found: dict[str, float], place: dict[str, str], now: float) -> dict[str, object]:
    """Write figures as the body of timeSeries.create."""
    end = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
    resource = {"type": "gce_instance", "labels": {key: place[key] for key in ("project_id", "instance_id", "zone")}}
    labels = {"stack": place["stack"], "host": place["host"]}
    return {
        "timeSeries": [
            {
                "metric": {"type": f"custom.googleapis.com/axion/{name}", "labels": labels},
                "resource": resource,
                "metricKind": "GAUGE",
                "valueType": "DOUBLE",
                "points": [{"interval": {"endTime": end}, "value": {"doubleValue": value}}],
            }
            for name, value in found.items()
        ]
    }


def value_of(metadata: str, path: str) -> str:
    """Read one value from the metadata server."""
    request = urllib.request.Request(f"{metadata}/{path}", headers={"Metadata-Flavor": "Google"})  # noqa: S310 - http
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - a fixed http address
        return str(answer.read().decode())


def report(arguments: argparse.Namespace) -> None:
    """Measure and send."""
    metadata = arguments.metadata
    place = {
        "project_id": value_of(metadata, "project/project-id"),
        "instance_id": value_of(metadata, "instance/id"),
        "zone": value_of(metadata, "instance/zone").rpartition("/")[2],
        "stack": value_of(metadata, "instance/attributes/axion-stack"),
        "host": value_of(metadata, "instance/attributes/axion-host"),
    }
    token = json.loads(value_of(metadata, "instance/service-accounts/default/token"))["access_token"]
    found = figures(Path(arguments.root), Path(arguments.run), Path("/proc/meminfo"))
    request = urllib.request.Request(  # noqa: S310 - a fixed https address
        f"{arguments.monitoring}/projects/{place['project_id']}/timeSeries",
        method="POST",
        data=json.dumps(series(found, place, time.time())).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
    )
    urllib.request.urlopen(request, timeout=TIMEOUT_S).close()  # noqa: S310 - a fixed https address


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default="/opt/axion")
    parser.add_argument("--run", default="/run/axion")
    parser.add_argument("--metadata", default=METADATA)
    parser.add_argument("--monitoring", default=MONITORING)
    try:
        report(parser.parse_args())
    except (OSError, urllib.error.URLError, ValueError, KeyError) as error:
        sys.exit(f"axion: figures were not reported: {error}")
