"""How to reach an instance of Google's: whether it runs, its keys, who we are there. Asked anew at each attempt."""

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from build.cloud.gcloud import Gcloud, GcloudError, in_parallel
from build.errors import DeployError
from build.remote.command import absent
from build.remote.ssh.connection import NotYet, Route, proxy_argv, tunnel_argv
from build.remote.ssh.host_keys import HostKey, KnownKeys, keys_in_file, read_guest_attributes, store_keys, stored_keys
from build.remote.target import expanded
from deployment.refusals.cloud_errors import Kind
from deployment.stack.inventory import AnyHost, GoogleHost

COMING_UP = ("PROVISIONING", "STAGING", "RUNNING", "REPAIRING")
STARTS = {"TERMINATED": "start", "STOPPED": "start", "SUSPENDED": "resume"}
"""What starts an instance again, by its state."""
# OS Login answers only once Google's agent has set it up; until then a right key is refused.
FRESH_S = 180.0
GOOGLE_KEY = "google_compute_engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """An instance, and where its keys are kept between two connections."""

    gcloud: Gcloud
    host: GoogleHost
    key_directory: Path
    words: str
    """What names this host on `fab`'s command line."""

    def route(self) -> Route:
        """Ask Google for everything at once. Raises DeployError, NotYet while the instance boots."""
        if shutil.which("gcloud") is None:
            raise DeployError(f"{self.host.name}: {absent('gcloud')}")
        answers = in_parallel({"instance": self._describe, "user": self._user, "keys": self._known})
        for each in ("instance", "user", "keys"):
            answer = answers[each]
            if isinstance(answer, DeployError):
                raise answer
        described, user, known = answers["instance"], answers["user"], answers["keys"]
        return self._route(described, user, known)

    def _route(self, described: Any, user: Any, known: Any) -> Route:
        host, project = self.host, self.gcloud.project
        address = host.ssh_address or host.name
        tunnel = tunnel_argv(host.name, port=host.ssh_port, project=project, zone=host.zone)
        identity = identity_file(host)
        return Route(
            name=host.name,
            address=address,
            port=host.ssh_port,
            user=user,
            known=known,
            identity_file=identity,
            has_other_keys=self.host.identity_file is None,
            tunnel=proxy(host, address, user) or (None if host.ssh_address else tunnel),
            is_proxy=host.ssh_proxy_command is not None,
            is_fresh=is_fresh(described, datetime.now(UTC)),
            if_refused=self._if_refused(identity),
            if_absent=f"Read how it booted: `{self._line('get-serial-port-output')}`.",
        )

    def _describe(self) -> Mapping[str, Any]:
        what = f"ask for the state of {self.host.name}"
        described = self.gcloud.ask(
            what, "compute", "instances", "describe", self.host.name, f"--zone={self.host.zone}"
        )
        problem = state_problem(self.host, self.words, described)
        if problem is not None:
            raise DeployError(problem)
        return dict(described)

    def _user(self) -> str:
        if self.host.ssh_user is not None:
            return self.host.ssh_user
        profile = self.gcloud.ask("ask OS Login who we are", "compute", "os-login", "describe-profile")
        user = login_name(profile)
        if user is None:
            raise DeployError(
                f"OS Login: the account has no login name in its profile. {self._if_refused(identity_file(self.host))}"
            )
        return user

    def _known(self) -> KnownKeys:
        """Keys in the file that the inventory names, else those kept, else what the instance published."""
        if self.host.known_hosts is not None:
            path = expanded(self.host.known_hosts)
            name = self.host.name if self.host.ssh_port == 22 else f"[{self.host.name}]:{self.host.ssh_port}"
            step = f"If you know that the host's key changed, correct {path}."
            return KnownKeys(keys=keys_in_file(path, name), source=str(path), if_changed=step)
        path = self.key_directory / self.host.instance_id
        keys = stored_keys(path)
        if not keys:
            keys = self._published()
            store_keys(path, keys, f"{self.host.name}, instance {self.host.instance_id}: from its guest attributes")
        step = (
            f"If you know that the host made new keys, delete {path}; what it publishes now: "
            f"`{self._line('get-guest-attributes')} --query-path=hostkeys/`."
        )
        source = f"{path}, kept from the guest attributes of instance {self.host.instance_id},"
        return KnownKeys(keys=keys, source=source, if_changed=step)

    def _published(self) -> tuple[HostKey, ...]:
        what = f"read the host keys of {self.host.name}"
        words = ("compute", "instances", "get-guest-attributes", self.host.name, f"--zone={self.host.zone}")
        try:
            keys = read_guest_attributes(self.gcloud.ask(what, *words, "--query-path=hostkeys/"))
        except GcloudError as error:
            if error.error.kind is not Kind.NOT_FOUND:
                raise
            keys = ()
        if not keys:
            raise NotYet(
                f"{self.host.name}: no host keys to verify it by in its guest attributes (hostkeys/). Its "
                f"startup script publishes them at each boot: read `{self._line('get-serial-port-output')}`."
            )
        return keys

    def _if_refused(self, identity: Path | None) -> str:
        key = identity or Path("~/.ssh") / GOOGLE_KEY
        return (
            f"Register your key: `gcloud compute os-login ssh-keys add --key-file={key}.pub` (`ssh-keygen` makes one), "
            "and have an owner grant roles/compute.osAdminLogin and roles/iam.serviceAccountUser to the account."
        )

    def _line(self, verb: str) -> str:
        return command_to_type(f"gcloud compute instances {verb}", self.host, self.gcloud.project)


def command_to_type(command: str, host: GoogleHost, project: str) -> str:
    """A line about an instance, to be pasted into a shell."""
    return f"{command} {shlex.quote(host.name)} --project={shlex.quote(project)} --zone={shlex.quote(host.zone)}"


def another_instance(host: GoogleHost, described: Mapping[str, Any]) -> str | None:
    """Say that an instance is not the one that the inventory knows, if so. Pure."""
    instance = str(described.get("id", ""))
    if instance == host.instance_id:
        return None
    return (
        f"{host.name}: another instance than the inventory's, got number {instance or 'none'} where it says "
        f"{host.instance_id}. It was replaced: run `pulumi refresh`, then `pulumi up`, and try again."
    )


def state_problem(host: GoogleHost, words: str, described: Mapping[str, Any]) -> str | None:
    """Say why this instance cannot be connected to, now or ever. `words` name it on a command line. Pure."""
    state = str(described.get("status", "UNKNOWN"))
    if problem := another_instance(host, described):
        return problem
    if state in STARTS:
        return f"{host.name}: does not run: {state}. Start it: `fab start {words}`."
    if state not in COMING_UP:
        return f"{host.name}: does not run: {state}. Wait a minute, then run the same command again."
    return None


def login_name(profile: Any) -> str | None:
    """The login name of OS Login: the primary account's, else the first. A service account has one as well."""
    accounts = [each for each in (profile or {}).get("posixAccounts") or () if each.get("username")]
    chosen = next((each for each in accounts if each.get("primary")), accounts[0] if accounts else None)
    return str(chosen["username"]) if chosen else None


def identity_file(host: AnyHost) -> Path | None:
    """The inventory's key, else the one that gcloud makes; None for an agent's keys and ssh's usual ones."""
    if host.identity_file is not None:
        return expanded(host.identity_file)
    usual = Path.home() / ".ssh" / GOOGLE_KEY
    return usual if usual.is_file() else None


def proxy(host: AnyHost, address: str, user: str) -> tuple[str, ...] | None:
    """The program that somebody wrote down as the way to a host."""
    if host.ssh_proxy_command is None:
        return None
    return proxy_argv(host.ssh_proxy_command, address=address, port=host.ssh_port, user=user)


def is_fresh(described: Mapping[str, Any], now: datetime) -> bool:
    """Whether it started so lately that logging in may not be set up yet."""
    stamp = described.get("lastStartTimestamp") or described.get("creationTimestamp")
    try:
        return (now - datetime.fromisoformat(str(stamp)).astimezone(UTC)).total_seconds() < FRESH_S
    except ValueError:
        return False
