"""What models.yaml may say of the gateway: where clients connect, and its limits."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ByteSize, Field

from deployment.frozen import Frozen
from deployment.models.origins import HostName, Origin
from deployment.models.values import SIZE, Address, HostFile, Seconds, Size, SocketFile, Wait, distinct


class Tls(Frozen):
    """The files that the gateway speaks TLS with."""

    certificate: HostFile = Field(description="a file on the host, in PEM: the certificate, then those that sign it")
    """The server's certificate, followed by those of the authorities between it and a root, as certbot's
    `fullchain.pem`."""
    key: HostFile = Field(description="a file on the host, in PEM, that has no passphrase")
    """The certificate's private key. Only root needs to read it: the gateway gets a copy in memory. On this computer
    the gateway reads both files itself."""


class Gateway(Frozen):
    """Where clients connect, and the gateway's limits."""

    listen: Annotated[tuple[Address, ...], AfterValidator(distinct)] = Field(
        ("127.0.0.1:8080",), min_length=1, description="addresses such as 127.0.0.1:8080"
    )
    """The addresses that the gateway listens on. `127.0.0.1` is for this host only, `0.0.0.0` for every network that
    its firewall lets in. More than this host needs keys: see [clients on other
    machines](operations.md#clients-on-other-machines).
    """
    open: bool = Field(
        False,
        strict=True,
        description="true to let other machines in without keys, where a network keeps strangers out",
    )
    """Whether the gateway may listen for other machines and ask nobody for a key. Without it, that is refused."""
    tls: Tls | None = Field(None, description="certificate and key; leave it out to speak plain HTTP")
    """TLS, 1.2 or newer, on every address of `listen` that other machines reach. The first of `listen` must be on
    `127.0.0.1`: there the host itself asks without TLS. See [TLS](operations.md#tls)."""
    hosts: tuple[HostName, ...] = Field((), description="names such as ai.example.com")
    """Names under which a proxy on the same host passes requests on. On `127.0.0.1` only `localhost`, loopback
    addresses and these are answered: others get 421, or a web page could point its own name to your computer."""
    cors_origins: tuple[Origin, ...] = Field((), description="origins such as https://chat.example.com, or *")
    """Web pages that may use the gateway from a browser, beside its own. Others get 403. `*` allows every page that
    your users open."""
    max_body: Size = Field(ByteSize(32 * 2**20), description=SIZE)
    """The largest request. A larger one gets 413. Pictures are the reason to raise it."""
    max_held: Annotated[int, Field(ge=0, strict=True)] = Field(
        256, description="how many requests may wait for one model, busy or being restarted; their bodies are in memory"
    )
    """How many requests may wait for one model. When too many wait, the newest of the caller with the most gets 429,
    or 503 while the model restarts. `0` makes none wait.
    """
    log_format: Literal["text", "json"] = Field("text", description="text (key=value pairs) or json (an object a line)")
    """How the gateway writes its log, which has no word of any prompt or answer."""
    otlp_socket: SocketFile | None = Field(
        None, description="the path of a Unix socket, at most 107 bytes and not below /tmp, /home, /root or /run/user"
    )
    """Where an OpenTelemetry collector on the same host takes traces by OTLP over HTTP. Every request becomes a span
    without a word of its prompt or answer: see [traces](operations.md#traces). Left out, nobody gets any."""
    body_s: Seconds = Field(120.0, description="seconds in which all of a request must arrive")
    """How long a client may take to send a request. A slower one gets 408. Raise it for large pictures over slow
    networks.
    """
    connect_s: Seconds = Field(5.0, description="seconds to connect to an engine on its socket")
    """How long the gateway tries to connect to an engine, which is on the same host. Then the client gets an error."""
    response_s: Seconds = Field(
        600.0, description="seconds to the first byte of an answer; to its end, where it is not streamed"
    )
    """How long the gateway waits for an answer to begin. An answer that is not streamed must be complete in this time.
    Otherwise the client gets 504. A model whose longest answer may take longer has a limit of its own
    (`models.NAME.response_s`).
    """
    stream_idle_s: Seconds = Field(300.0, description="seconds between two pieces of a stream")
    """How long a stream may be silent. Then the client gets an error event, and the engine stops the request."""
    ping_s: Wait = Field(10.0, description="seconds, up to 600, of silence in a stream; 0 turns it off")
    """After so much silence the client of a stream gets an SSE comment (`: ping`), so that no proxy cuts it off.
    The first one sends the answer's head: what fails later is an error event, what fails earlier has a status.
    """
    probe_s: Seconds = Field(10.0, description="seconds in which an engine must say that it is well")
    """How long an engine may take to answer a health check. Then it counts as unreachable."""
    probe_interval_s: Seconds = Field(1.0, description="seconds between two such questions")
    """How often the gateway checks the health of each engine. It decides how soon a model that has loaded gets
    requests.
    """
    drain_s: Wait = Field(30.0, description="seconds, up to 600, for requests in flight at a stop")
    """How long a stopping gateway waits for running requests (drain). Afterwards they end with an error."""
    hold_s: Wait = Field(
        30.0, description="seconds, up to 600, that a request waits for a model that is being restarted"
    )
    """How long a request waits for a model that restarts. Then it gets 503. Set it above a model's load time, and
    clients see no error when you deploy.
    """
    queue_s: Seconds = Field(60.0, description="seconds that a request waits for its turn at a busy model")
    """How long a request waits for a place at an engine that has `concurrency` requests. Then it gets 429 with a
    `Retry-After` that follows from how fast the model answered of late.
    """
    load_s: Seconds = Field(600.0, description="seconds in which a model on demand must be loaded")
    """How long a request waits for a model on demand. Then it gets 503. A start that takes longer is given up. Set it
    well above the longest load.
    """
