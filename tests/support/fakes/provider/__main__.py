"""The plugin process: prints its port and nothing else, and ends when the engine is gone."""

import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from tests.support.fakes.provider.protocol import provider_pb2_grpc
from tests.support.fakes.provider.service import Provider

LOOK_S = 0.2
THREADS = 64
"""More than the engine's parallelism: a call that hangs must not keep others waiting."""


def end_with(parent: int) -> None:
    """After `kill -9` of the CLI nobody else would end this process."""
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(0)


def main() -> None:
    """Serve until the engine goes."""
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    server = grpc.server(ThreadPoolExecutor(THREADS), options=[("grpc.max_receive_message_length", 400 * 1024 * 1024)])
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Provider(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
