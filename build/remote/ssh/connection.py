"""Open an SSH connection to one host: verified, bounded in every step, and explained where it fails.

Fabric's Connection as it is accepts any host key, waits an hour for a channel and reads the user's own SSH settings;
what a host is and how to reach it is in the inventory, and there alone.
"""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import fabric
import paramiko

from build.errors import DeployError
from build.remote.ssh.heard import Heard, hangs_up
from build.remote.ssh.host_keys import HostKey, KnownKeys, Refusal, refusal
from build.remote.ssh.identity import load_key
from build.remote.ssh.relay import Relay

CONNECT_TIMEOUT_S = 15
CHANNEL_TIMEOUT_S = 15.0
# A tunnel is there only after gcloud has started, taken a token and shaken hands twice.
TUNNEL_TIMEOUT_S = 45
IF_ABSENT = "Check that it runs, and its address and port in the inventory."


class NotYet(DeployError):  # noqa: N818 - it says what it is, as its parent's other children do
    """No connection now, for a reason that time cures: the host boots, or its SSH server restarts."""


class NotAllowed(DeployError):  # noqa: N818 - as above
    """The host does not take this login."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Everything that a connection needs."""

    name: str
    """What to call the host in messages."""
    address: str
    port: int
    user: str
    known: KnownKeys
    identity_file: Path | None = None
    has_other_keys: bool = False
    """Whether an agent's keys may be offered beside identity_file: it was not named by anybody."""
    tunnel: tuple[str, ...] | None = None
    """A program whose standard input and output are the connection; None to connect directly."""
    is_proxy: bool = False
    """Whether that program is one that somebody chose for it, not gcloud."""
    is_fresh: bool = False
    """Whether the host started so lately that it may refuse a login which it will take soon."""
    if_refused: str = "Check ssh_user and identity_file of the inventory."
    """What to do when the host takes none of our keys."""
    if_absent: str = IF_ABSENT

    @property
    def place(self) -> str:
        if self.tunnel and not self.is_proxy:
            return f"{self.name} (port {self.port} through IAP)"
        return f"{self.name} ({self.address}:{self.port}{' by its ssh_proxy_command' if self.is_proxy else ''})"


def proxy_argv(command: str, *, address: str, port: int, user: str) -> tuple[str, ...]:
    """Build what ssh's ProxyCommand would run: by a shell, which becomes it (ssh_config(5))."""
    tokens = {"%h": shlex.quote(address), "%p": str(port), "%r": shlex.quote(user), "%%": "%"}
    return "/bin/sh", "-c", "exec " + re.sub("%[hpr%]", lambda found: tokens[found[0]], command)


def tunnel_argv(instance: str, *, port: int, project: str, zone: str) -> tuple[str, ...]:
    """Build gcloud's tunnel through Identity-Aware Proxy: no address of the host's has to be reachable from here."""
    return (
        *("gcloud", "compute", "start-iap-tunnel", instance, str(port), "--listen-on-stdin"),
        *(f"--project={project}", f"--zone={zone}", "--verbosity=warning"),
    )


class HostConnection(fabric.Connection):  # type: ignore[misc] # Fabric ships no types
    """A connection to one host, over its route."""

    def __init__(self, route: Route, heard: Heard) -> None:
        key = key_of(route)
        timeout_s = TUNNEL_TIMEOUT_S if route.tunnel else CONNECT_TIMEOUT_S
        super().__init__(
            host=route.address,
            user=route.user,
            port=route.port,
            # Neither ~/.fabric.yaml nor ~/.ssh/config: a proxy or another user set there would lead elsewhere.
            config=fabric.Config(lazy=True, ssh_config=paramiko.SSHConfig()),
            connect_timeout=timeout_s,
            connect_kwargs={
                "banner_timeout": timeout_s,
                "auth_timeout": timeout_s,
                "channel_timeout": CHANNEL_TIMEOUT_S,
                "pkey": key,
                # A server counts each key that it is offered: the named one must not come after nine others.
                "allow_agent": key is None or route.has_other_keys,
                "look_for_keys": key is None,
            },
        )
        self._set(route=route, relay=None)
        self.client.set_log_channel(heard.name)
        self.client.set_missing_host_key_policy(Refusal())
        name = route.address if route.port == paramiko.config.SSH_PORT else f"[{route.address}]:{route.port}"
        for key in route.known.keys:
            self.client.get_host_keys().add(name, key.type, paramiko.PKey.from_type_string(key.type, key.blob))
        if route.tunnel:
            self._set(gateway=" ".join(route.tunnel))

    def open_gateway(self) -> Relay:
        """Start the tunnel."""
        relay = Relay(self.route.tunnel, {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1"})
        self._set(relay=relay)
        return relay

    def close(self) -> None:
        """End the connection and its tunnel. Idempotent."""
        super().close()
        if self.relay is not None:
            self.relay.close()


def key_of(route: Route) -> paramiko.PKey | None:
    """Read the key that comes first. One that nobody named is left out when it is no good and an agent has any."""
    if route.identity_file is None:
        return None
    try:
        return load_key(route.identity_file)
    except DeployError:
        if route.has_other_keys and paramiko.Agent().get_keys():
            return None
        raise


def connect(route: Route) -> HostConnection:
    """Connect and log in. Raises DeployError; NotYet and NotAllowed where trying again may help."""
    with Heard() as heard:
        connection = HostConnection(route, heard)
        try:
            connection.open()
        except BaseException as error:
            said = connection.relay.said() if connection.relay is not None else ""
            connection.close()
            problem = explain(route, error, said, heard.words)
            if problem is None:
                raise
            raise problem from None
    return connection


def explain(route: Route, error: BaseException, said: str = "", heard: str = "") -> DeployError | None:
    """Turn a failure to connect into a sentence; None for what is no such failure.

    `said` is what the tunnel wrote, `heard` what the server said beside the protocol.
    """
    if isinstance(error, paramiko.BadHostKeyException):
        shown = HostKey(type=error.key.get_name(), blob=error.key.asbytes())
        return DeployError(refusal(route.name, shown, route.known))
    if isinstance(error, paramiko.PasswordRequiredException):
        return DeployError(
            f"{route.place}: a key of ~/.ssh is locked by a passphrase. Unlock it for an agent: `ssh-add`."
        )
    if isinstance(error, paramiko.AuthenticationException) or "authentication failures" in heard:
        return NotAllowed(f"{route.place}: {not_allowed(route, error, heard)}")
    if said:
        return explain_tunnel(route, said)
    if hangs_up(error):
        return NotYet(
            f"{route.place}: hangs up on whoever connects: {heard or _said(error.__context__ or error)}. Its sshd "
            "has too many that are logging in (MaxStartups), or keeps this address out, or it is no SSH server."
        )
    if isinstance(error, (paramiko.SSHException, OSError, EOFError)):
        return NotYet(f"{route.place}: no SSH server answers: {_said(error)}. {route.if_absent}")
    return None


def not_allowed(route: Route, error: BaseException, heard: str) -> str:
    """Say why a login is refused: of its keys, of its account, or of this key."""
    if "authentication failures" in heard:
        return (
            f"was offered more keys than it looks at: {heard}. Name the one that lets {route.user} in: "
            "identity_file in the inventory; then no other key of an agent is offered."
        )
    if "saw EOF" in str(error):  # sshd took the key, asked PAM and hung up
        return (
            f"takes the key of {route.user} and then ends the login: {heard or 'no word'}. Look whether the "
            f"account is locked or expired there: `chage -l {route.user}`."
        )
    return f"does not let {route.user} in: {_said(error)}. {route.if_refused}"


def explain_tunnel(route: Route, said: str) -> DeployError:
    """Say what a tunnel means. Of gcloud's, the codes are those of Identity-Aware Proxy's relay protocol."""
    lines = [line for line in said.splitlines() if "ERROR" in line] or said.splitlines()
    line = lines[-1].strip().rstrip(".")
    if route.is_proxy:
        return NotYet(f"{route.place}: no way there: {line}. Try that command of the inventory in a shell.")
    if "4033" in line or "not authorized" in line:
        step = "Have an owner of the project grant roles/iap.tunnelResourceAccessor to `gcloud config get account`."
        return NotAllowed(f"{route.name}: Identity-Aware Proxy refuses the account: {line}. {step}")
    if "auth login" in said:
        return DeployError(f"{route.name}: not logged in: {line}. Run `gcloud auth login`.")
    return NotYet(f"{route.name}: no way through Identity-Aware Proxy: {line}. {route.if_absent}")


def _said(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__
