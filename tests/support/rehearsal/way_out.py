"""A host's way to the internet, as Cloud NAT is: there if the stack made one, and only from the inside out.

It is a proxy, because a network of a host's own then needs no routes on this computer; pip and apt inside are told
of it.
"""

import http.client
import shutil
import socket
from typing import ClassVar
from urllib.parse import urlsplit

from tests.support import web
from tests.support.fakes.cloud.server import Cloud
from tests.support.rehearsal.metadata import Metadata
from tests.support.rehearsal.relay import relay

ADDRESS, PORT = "169.254.169.252", 3128
URL = f"http://{ADDRESS}:{PORT}"
CONNECT_S = 20.0
HTTP, HTTPS = 80, 443
HOP_BY_HOP = frozenset({"connection", "proxy-connection", "keep-alive", "host", "transfer-encoding"})


def has_nat(cloud: Cloud) -> bool:
    """Whether some router of the project translates addresses."""
    with cloud.state.lock:
        return any(router.get("nats") for _, router in cloud.state.under("projects", "routers"))


class Handler(web.Handler):
    """CONNECT, where what is said inside is between the two ends, and GET for what apt gets without encryption."""

    metadata: ClassVar[Metadata]

    def do_CONNECT(self) -> None:
        host, _, port = self.path.rpartition(":")
        if not port.isdigit() or int(port) != HTTPS or not has_nat(self.metadata.cloud):
            self.send_error(403)
            return
        try:
            outside = socket.create_connection((host, HTTPS), timeout=CONNECT_S)
        except OSError as error:
            self.send_error(502, str(error))
            return
        with outside:
            outside.settimeout(None)
            self.send_response(200)
            self.end_headers()
            self.wfile.flush()
            relay(self.connection, outside)
        self.close_connection = True

    def do_GET(self) -> None:
        """Pass one question on. The answer ends with the connection."""
        asked = urlsplit(self.path)
        if asked.scheme != "http" or (asked.port or HTTP) != HTTP or not has_nat(self.metadata.cloud):
            self.send_error(403)
            return
        outside = http.client.HTTPConnection(str(asked.hostname), HTTP, timeout=CONNECT_S)
        headers = {key: value for key, value in self.headers.items() if key.lower() not in HOP_BY_HOP}
        try:
            outside.request("GET", asked._replace(scheme="", netloc="").geturl(), headers=headers)
            answer = outside.getresponse()
        except OSError as error:
            self.send_error(502, str(error))
            return
        self.send_response(answer.status, answer.reason)
        for key, value in answer.getheaders():
            if key.lower() not in HOP_BY_HOP:
                self.send_header(key, value)
        self.send_header("Connection", "close")
        self.end_headers()
        shutil.copyfileobj(answer, self.wfile)
        outside.close()
        self.close_connection = True
