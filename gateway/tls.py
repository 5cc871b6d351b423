"""The certificate that is shown to clients on other machines, and its renewal while connections go on."""

import re
import ssl
import time

from agent.certificate import Certificate, CertificateError, load, server_context, shown_time
from gateway.config import TlsFiles
from gateway.events import log_event

_FOLDERS = re.compile(r"/(?:[^/\s]+/)+")
"""Of the files: /stats is read by more people than may know where keys are."""


class ServerTls:
    """What listeners speak TLS with. A new certificate is shown from the next handshake on; connections keep theirs."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises CertificateError. An expired certificate is shown: the host's own addresses must be served."""
        self._shown: Certificate = load(files.certificate, files.key)
        self._refused: str | None = None
        # Listeners keep the context that they were given. So it shows nothing itself, and each handshake takes the
        # newest: loading into one that is in use would show a certificate without its key, if the key does not fit.
        self.context = server_context()
        self.context.sni_callback = self._show
        if problem := self._shown.problem(time.time()):
            log_event("gateway.certificate_problem", problem=problem)

    @property
    def ends_s(self) -> float:
        """When the certificate that is shown expires, in seconds since 1970."""
        return self._shown.ends_s

    @property
    def error(self) -> str | None:
        """Why the newest files are not shown, or why clients refuse what is."""
        said = self._refused or self._shown.problem(time.time())
        return said and _FOLDERS.sub("", said)

    def renew(self, files: TlsFiles) -> None:
        """Show what is in the files now. What no client would take changes nothing but what /stats says."""
        try:
            found = load(files.certificate, files.key)
            if problem := found.problem(time.time()):
                raise CertificateError(problem)
        except CertificateError as error:
            self._refused = str(error)
            for problem in error.problems:
                log_event("gateway.certificate_refused", problem=problem)
            return
        self._shown, self._refused = found, None
        log_event("gateway.certificate_shown", ends=shown_time(found.ends_s))

    def _show(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._shown.context
