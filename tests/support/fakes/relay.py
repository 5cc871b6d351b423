"""What gcloud's tunnel does, without Google: joins standard input and output to a port of this computer.

`relay.py PORT`, or `relay.py --fail TEXT`, which says TEXT on stderr and ends.
"""

import os
import socket
import sys
import threading


def relay(port: int) -> int:
    """Pass bytes both ways until one side ends."""
    try:
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    except OSError:
        # Word for word what gcloud prints where no sshd listens.
        name = "(gcloud.compute.start-iap-tunnel)"
        sys.stderr.write(f"ERROR: {name} Error while connecting [4003: 'failed to connect to backend'].\n")
        return 1
    connection.settimeout(None)

    def inwards() -> None:
        while data := os.read(0, 65536):
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)

    threading.Thread(target=inwards, daemon=True).start()
    while data := connection.recv(65536):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    return 0


def main() -> int:
    if sys.argv[1] == "--fail":
        sys.stderr.write(f"{sys.argv[2]}\n")
        return 1
    return relay(int(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
