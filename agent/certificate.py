"""A server's certificate with its key, in PEM: whether they serve, and until when.

As a program, `agent.certificate CERTIFICATE KEY FILE USER`, what gateway.service runs as root: look at both, and put
them into one file that only the gateway's user can read.
"""

import pwd
import re
import ssl
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from agent.secrets import put

UTC_TIME, GENERALIZED_TIME, VERSION = 0x17, 0x18, 0xA0
"""Tags of X.690, as RFC 5280 section 4.1 uses them; the version of a certificate may be left out."""
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
PASSPHRASE = ("BEGIN ENCRYPTED PRIVATE KEY", "Proc-Type: 4,ENCRYPTED")


class CertificateError(Exception):
    """A certificate or its key is of no use; one sentence for each reason."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """A certificate whose key was there and fits."""

    path: Path
    context: ssl.SSLContext
    """Of a server that shows it."""
    begins_s: float
    ends_s: float
    """As seconds since 1970."""

    def problem(self, now_s: float) -> str | None:
        """Say why no client would take it at this time; None where it is valid."""
        if now_s >= self.ends_s:
            return f"{self.path}: the certificate expired at {shown_time(self.ends_s)}. Renew it."
        if now_s < self.begins_s:
            return f"{self.path}: the certificate is not valid before {shown_time(self.begins_s)}. Look at the clock."
        return None


def load(certificate: Path, key: Path) -> Certificate:
    """Read both. Raises CertificateError unless they can be used together; the date is not judged."""
    problems: list[str] = []
    chain, secret = (_text(path, problems) for path in (certificate, key))
    found = _CERTIFICATE.search(chain or "")
    if chain is not None and found is None:
        problems.append(
            f"{certificate}: no certificate in PEM. Give the server's own, and behind it those that sign it."
        )
    if secret is not None and "PRIVATE KEY-----" not in secret:
        problems.append(f"{key}: no private key in PEM. Give the one of {certificate}.")
    elif secret is not None and any(mark in secret for mark in PASSPHRASE):
        problems.append(f"{key}: has a passphrase, which nobody types at a start. Give one without: `openssl pkey`.")
    if problems or found is None:
        raise CertificateError(*problems)
    context = server_context()
    try:
        begins_s, ends_s = validity(ssl.PEM_cert_to_DER_cert(found[0]))
        context.load_cert_chain(certificate, key, password=lambda: "")
    except ssl.SSLError as error:
        raise CertificateError(_refusal(certificate, key, error)) from error
    except (OSError, ValueError, IndexError) as error:
        raise CertificateError(f"{certificate}: cannot be read: {error}. Give a certificate in PEM.") from error
    return Certificate(path=certificate, context=context, begins_s=begins_s, ends_s=ends_s)


def server_context() -> ssl.SSLContext:
    """Return Python's settings of a server, for HTTP/1.1 over TLS 1.2 and newer."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def validity(der: bytes) -> tuple[float, float]:
    """Return when a certificate begins and ends to be valid, which Python's ssl tells of nobody's own certificate."""
    ((_, whole),) = _values(der)
    signed = [content for tag, content in _values(next(_values(whole))[1]) if tag != VERSION]
    begins, ends = (_time(tag, content) for tag, content in _values(signed[3]))  # number, algorithm, issuer, validity
    return begins, ends


def shown_time(at_s: float) -> str:
    """Write a time for people."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M UTC")


def install(certificate: Path, key: Path, file: Path, user: str) -> None:
    """Replace the gateway's copy in one step; what cannot be used leaves the copy of before."""
    try:
        found, account = load(certificate, key), pwd.getpwnam(user)
    except CertificateError as error:
        sys.exit(str(error))
    except KeyError:
        sys.exit(f"{user}: no such account, so nobody can be given {key}. Deploy anew.")
    if problem := found.problem(time.time()):
        if file.is_file():
            sys.exit(f"{problem} The one of before stays.")
        print(problem, file=sys.stderr)  # the host's own address works, so the gateway shall start
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    put(file, certificate.read_text() + "\n" + key.read_text(), account.pw_uid, account.pw_gid)


def _text(path: Path, problems: list[str]) -> str | None:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}. Give a file in PEM.")
        return None


def _refusal(certificate: Path, key: Path, error: ssl.SSLError) -> str:
    if error.reason in ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED"):
        return (
            f"{key}: not the key of {certificate}. Give the two that belong together, the server's certificate first."
        )
    why = (error.reason or str(error)).lower().replace("_", " ")
    return f"{certificate}: cannot be used with {key}: {why}. Give a certificate and its key in PEM."


def _values(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each value in a row of them."""
    while der:
        tag, length, at = der[0], der[1], 2
        if length & 0x80:
            at += length & 0x7F
            length = int.from_bytes(der[2:at], "big")
        yield tag, der[at : at + length]
        der = der[at + length :]


def _time(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == UTC_TIME:  # two digits of the year: of this century below 50
        text = ("20" if text < "50" else "19") + text
    elif tag != GENERALIZED_TIME:
        raise ValueError("no time in its validity")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


if __name__ == "__main__":
    install(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4])
