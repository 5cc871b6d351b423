"""Wait for the notice that Google takes this spot machine back, and let requests in flight finish while there is time.

Google cuts the power 30 s after it presses the power button, and presses that at once, or as many seconds after the
notice as the machine's scheduling asks for (preemptionNoticeDuration; what it asked for stands in our own metadata).
The button makes systemd stop everything, this program among it: a stop that comes from there begins the drain as well.
Runs on the host, on the system's Python: standard library only.
"""

import argparse
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from types import FrameType

METADATA = "http://metadata.google.internal/computeMetadata/v1"
NOTICE_KEY = "instance/attributes/axion-preemption-notice-seconds"
WAIT_S = 300
RETRY_S = 1.0
CUT_S, MARGIN_S = 30.0, 10.0
"""From the power button to the cut, and how long before it everything is over: a notice may be late, and disks sync."""
LAST_WORDS_S = 4.0
"""For a gateway that was told twice: it ends what is in flight with an error that clients understand."""
LOOK_S = 0.2
GATEWAYS = ("gateway.service", "gateway-handover.service")
ENGINES = "vllm@*.service"


class StoppedError(Exception):
    """The system stops this program."""


def on_stop(_number: int, _frame: FrameType | None) -> None:
    """Leave whatever waits. Only once: the drain is not to be interrupted."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise StoppedError


def ask(address: str, timeout_s: float) -> tuple[str, str]:
    """Return a value of the metadata server and its tag."""
    request = urllib.request.Request(address, headers={"Metadata-Flavor": "Google"})  # noqa: S310 - http
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 - a fixed http address
        return answer.read().decode().strip(), answer.headers.get("ETag", "0")


def is_preempted(metadata: str, wait_s: int = WAIT_S) -> bool:
    """Ask, and wait on the server until the answer is another one or the time is over."""
    query = ""
    for _ in range(2 if wait_s else 1):
        said, tag = ask(f"{metadata}/instance/preempted{query}", wait_s + (30 if wait_s else 2))
        if said == "TRUE":
            return True
        # Without the tag of the answer that we have, a notice between two questions would be waited for in vain.
        query = f"?wait_for_change=true&timeout_sec={wait_s}&last_etag={tag}"
    return False


def notice_s(metadata: str) -> float:
    """How long before the power button the notice comes; 0 where nothing else was asked for."""
    try:
        said, _ = ask(f"{metadata}/{NOTICE_KEY}", 2)
        return float(said) if said.isdecimal() else 0.0
    except (OSError, urllib.error.URLError):
        return 0.0


def drain_s(notice_s: float, cut_s: float = CUT_S, margin_s: float = MARGIN_S) -> float:
    """How long after the notice everything must have ended, last words and all."""
    return notice_s + cut_s - margin_s


def drain(time_s: float) -> None:
    """Let the gateway finish, then the engines, which have nothing left to do; what is not over in time is ended."""
    deadline = time.monotonic() + time_s
    print(f"axion: preempted, draining for {time_s:g} s at most", flush=True)
    systemctl("stop", "--no-block", "gateway.socket", "gateway-restart.service", *GATEWAYS)
    wait_until(deadline - LAST_WORDS_S)
    if is_gateway_up():
        print("axion: requests are still in flight, ending them", flush=True)
        systemctl("kill", "--signal=SIGTERM", *GATEWAYS)
        wait_until(deadline)
    systemctl("stop", "--no-block", "axion.target", ENGINES)
    # They hold nothing that is not on the disk; one that lingers would keep the file system from being unmounted.
    systemctl("kill", "--signal=SIGKILL", ENGINES)
    print("axion: drained", flush=True)


def wait_until(deadline: float) -> None:
    while is_gateway_up() and time.monotonic() < deadline:
        time.sleep(LOOK_S)


def is_gateway_up() -> bool:
    """Whether either of the two still has to end; `deactivating` is what a drain looks like."""
    states = systemctl("show", "--property=ActiveState", "--value", *GATEWAYS).split()
    return not states or not set(states) <= {"inactive", "failed"}


def systemctl(*words: str) -> str:
    done = subprocess.run(("systemctl", *words), check=False, capture_output=True, text=True, timeout=10)
    return done.stdout


def wait_for_notice(metadata: str) -> None:
    """Block until the notice."""
    while True:
        try:
            if is_preempted(metadata):
                return
        except (OSError, urllib.error.URLError) as error:
            print(f"axion: the metadata server did not answer: {error}", file=sys.stderr)
            time.sleep(RETRY_S)


def main(metadata: str, cut_s: float, margin_s: float) -> int:
    """Wait and drain. A stop without a notice, as for another text of this program, drains nothing."""
    signal.signal(signal.SIGTERM, on_stop)
    try:
        left_s = notice_s(metadata)
        wait_for_notice(metadata)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except StoppedError:
        left_s = 0.0  # the button was pressed
        try:
            if not is_preempted(metadata, 0):
                return 0
        except (OSError, urllib.error.URLError):
            return 0
    drain(drain_s(left_s, cut_s, margin_s))
    return 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", default=METADATA)
    parser.add_argument("--cut-s", type=float, default=CUT_S)
    parser.add_argument("--margin-s", type=float, default=MARGIN_S)
    given = parser.parse_args()
    sys.exit(main(given.metadata, given.cut_s, given.margin_s))
