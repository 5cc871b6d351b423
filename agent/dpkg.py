"""Have dpkg finish what a power cut left half-installed; apt refuses anything else until then.

dpkg waits for nobody. A machine that boots for the first time installs by itself, so this tries again while it does.
"""

import os
import subprocess
import sys
import time

BOUND_S, RETRY_S = 600.0, 5.0
LOCKED = "locked by another process"


def main() -> int:
    bound_s, retry_s = (float(word) for word in sys.argv[1:]) if sys.argv[1:] else (BOUND_S, RETRY_S)
    deadline = time.monotonic() + bound_s
    environment = {**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"}
    while True:
        done = subprocess.run(
            ("dpkg", "--configure", "-a"), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False,
            env=environment,
        )  # fmt: skip
        if done.returncode == 0 or LOCKED not in done.stderr or time.monotonic() > deadline:
            sys.stderr.write(done.stderr)
            return done.returncode
        print("Waiting for another installation on this host", flush=True)
        time.sleep(retry_s)
