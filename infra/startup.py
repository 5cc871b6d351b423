"""The script that an instance runs as root at every boot. Whoever may see the instance may read it: no secret in it."""

from dataclasses import dataclass
from pathlib import Path

from deployment.render.files import render_template
from deployment.stack.guardrails import HOST_ROOT

AGENT = Path(__file__).parents[1] / "agent"
DATA_DEVICE = "axion-data"
DATA_PATH = f"/dev/disk/by-id/google-{DATA_DEVICE}"
UNITS = ("axion-idle-stop.service", "axion-idle-stop.timer", "axion-preemption.service")
SCRIPTS = ("idle_stop.py", "host_metrics.py", "preemption.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A file that the script writes."""

    path: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StartupValues:
    """Where things are on a host; a rehearsal has them elsewhere."""

    device: str = DATA_PATH
    mount: str = HOST_ROOT
    etc: str = "/etc"
    library: str = "/usr/local/lib/axion"
    metadata: str = "http://metadata.google.internal/computeMetadata/v1"


def startup_script(values: StartupValues | None = None) -> str:
    """Render the script. Equal on every host of every stack: what differs, it reads from the instance's metadata."""
    chosen = values or StartupValues()
    shared = {"library": chosen.library, "root": chosen.mount}
    files = [
        Installed(path=f"{chosen.library}/{name}", text=(AGENT / name).read_text(encoding="utf-8")) for name in SCRIPTS
    ]
    files += [
        Installed(path=f"{chosen.etc}/systemd/system/{name}", text=render_template(f"host/{name}.j2", shared))
        for name in UNITS
    ]
    text = render_template(
        "host/startup.sh.j2",
        {
            "device": chosen.device,
            "mount": chosen.mount,
            "etc": chosen.etc,
            "metadata": chosen.metadata,
            "files": files,
        },
    )
    return f"#!/bin/bash\n{text}"
