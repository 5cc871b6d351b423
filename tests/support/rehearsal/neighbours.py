"""The servers in a host's network: its metadata server, Google's addresses, and the way out."""

import socket

from tests.support import web
from tests.support.fakes.metadata import Handler
from tests.support.rehearsal import google, metadata, way_out
from tests.support.rehearsal.metadata import Metadata
from tests.support.rehearsal.network import Network

ADDRESSES = tuple(f"{each.ADDRESS}/32" for each in (metadata, google, way_out))


class Neighbours:
    """They serve for as long as the host is on."""

    def __init__(self, network: Network, about: Metadata, certificate: google.Certificate) -> None:
        self.network, self.about, self.certificate = network, about, certificate
        self._servers: list[web.Server] = []

    def start(self) -> None:
        self._serve(self.network.listen(metadata.ADDRESS, metadata.PORT), Handler)
        self._serve(self.network.listen(way_out.ADDRESS, way_out.PORT), way_out.Handler)
        outer = self.network.listen(google.ADDRESS, google.PORT)
        # The handshake is done by the connection's own thread, when it first reads.
        secured = self.certificate.context().wrap_socket(outer, server_side=True, do_handshake_on_connect=False)
        self._serve(secured, google.Handler)

    def _serve(self, listening: socket.socket, handler: type[web.Handler]) -> None:
        server = web.Server(("", 0), web.bound(handler, metadata=self.about), bind_and_activate=False)
        server.socket.close()
        server.socket = listening
        self._servers.append(server)
        web.start(server)

    def stop(self) -> None:
        self.about.closing.set()
        while self._servers:
            web.stop(self._servers.pop())
