"""Wait for the notice that a spot machine gets 30 seconds before its end, and let requests in flight finish.

Runs on the host, on the system's Python: standard library only.
"""

import argparse
import subprocess
import sys
import time
import urllib.error
import urllib.request

METADATA = "http://metadata.google.internal/computeMetadata/v1"
WAIT_S = 300
RETRY_S = 1.0


def is_preempted(metadata: str, wait_s: int = WAIT_S) -> bool:
    """Ask, and wait on the server until the answer is another one or the time is over."""
    query = ""
    for _ in range(2):
        address = f"{metadata}/instance/preempted{query}"
        request = urllib.request.Request(address, headers={"Metadata-Flavor": "Google"})  # noqa: S310 - http
        with urllib.request.urlopen(request, timeout=wait_s + 30) as answer:  # noqa: S310 - a fixed http address
            if answer.read().strip() == b"TRUE":
                return True
            # Without the tag of the answer that we have, a notice between two questions would be waited for in vain.
            query = f"?wait_for_change=true&timeout_sec={wait_s}&last_etag={answer.headers.get('ETag', '0')}"
    return False


def wait_and_drain(metadata: str) -> int:
    """Block until the notice, then stop what serves. Its exit status is the drain's."""
    while True:
        try:
            if is_preempted(metadata):
                break
        except (OSError, urllib.error.URLError) as error:
            print(f"axion: the metadata server did not answer: {error}", file=sys.stderr)
            time.sleep(RETRY_S)
    print("axion: preempted, draining", flush=True)
    return subprocess.run(["systemctl", "stop", "axion.target"], check=False).returncode


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--metadata", default=METADATA)
    sys.exit(wait_and_drain(parser.parse_args().metadata))
