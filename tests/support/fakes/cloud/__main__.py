"""`python -m tests.support.fakes.cloud --port 8099`: the cloud alone, until Ctrl-C."""

import argparse
import signal

from tests.support.fakes.cloud.server import running


def main() -> None:
    """Serve and wait."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    with running(port=parser.parse_args().port) as cloud:
        print(cloud.url, flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


if __name__ == "__main__":
    main()
