"""`gcloud compute start-iap-tunnel INSTANCE PORT --listen-on-stdin`, as far as ssh notices: standard input and output
are the connection. Standard library only; the words and exit status of a refusal are gcloud's.
"""

import argparse
import json
import os
import socket
import sys
import threading

CHUNK_BYTES = 65536


def main(arguments: list[str]) -> int:
    """The first argument is the relay's socket, the rest what gcloud was given."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("port")
    parser.add_argument("--listen-on-stdin", action="store_true", required=True)
    parser.add_argument("--project", required=True)
    parser.add_argument("--zone", required=True)
    parser.add_argument("--verbosity")
    given = parser.parse_args(arguments[3:])
    with socket.socket(socket.AF_UNIX) as relay:
        relay.connect(arguments[0])
        asked = {key: getattr(given, key) for key in ("name", "port", "project", "zone")}
        relay.sendall(json.dumps(asked).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):  # a byte at a time: what follows is the host's
            answer += relay.recv(1)
        if problem := json.loads(answer)["problem"]:
            print(f"ERROR: (gcloud.compute.start-iap-tunnel) {problem}", file=sys.stderr)
            return 1
        threading.Thread(target=_send, args=(relay,), daemon=True).start()
        while data := relay.recv(CHUNK_BYTES):
            _write(data)
    # The other thread may wait for input that never comes.
    os._exit(0)


def _send(relay: socket.socket) -> None:
    while data := os.read(0, CHUNK_BYTES):
        relay.sendall(data)
    relay.shutdown(socket.SHUT_WR)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
