"""A resource as a rule sees it, and what a rule is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar


class Unknown:
    """A value that a preview cannot know. Rules let it pass: `pulumi up` asks them again when it is known."""

    def __repr__(self) -> str:
        return "unknown until created"


UNKNOWN = Unknown()

INSTANCE = "gcp:compute/instance:Instance"
DISK = "gcp:compute/disk:Disk"
RESOURCE_POLICY = "gcp:compute/resourcePolicy:ResourcePolicy"
POLICY_ATTACHMENT = "gcp:compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment"
FIREWALL = "gcp:compute/firewall:Firewall"
BUCKET = "gcp:storage/bucket:Bucket"
SECRET = "gcp:secretmanager/secret:Secret"  # noqa: S105 - a type's name
SECRET_VERSION = "gcp:secretmanager/secretVersion:SecretVersion"  # noqa: S105 - a type's name
ALERT_POLICY = "gcp:monitoring/alertPolicy:AlertPolicy"
NOTIFICATION_CHANNEL = "gcp:monitoring/notificationChannel:NotificationChannel"
CUSTOM_ROLE = "gcp:projects/iAMCustomRole:IAMCustomRole"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """Inputs under Pulumi's own names, and which resources each of them comes from."""

    type: str
    urn: str
    props: Mapping[str, Any]
    origins: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Per input, the URNs of the resources that its value comes from."""

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.rpartition("::")[2]

    @property
    def stack(self) -> str:
        """The stack that the resource belongs to, as its URN says."""
        return self.urn.removeprefix("urn:pulumi:").partition("::")[0]

    def at(self, *path: str | int) -> Any:
        """Follow a path into the inputs; None where it ends early, UNKNOWN where a preview cannot go on."""
        value: Any = self.props
        for part in path:
            if value is UNKNOWN:
                return UNKNOWN
            if isinstance(value, Mapping):
                value = value.get(str(part))
            elif isinstance(value, list | tuple) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value


Config = Mapping[str, Any]
Finding = tuple[Resource, str]
Judge = TypeVar("Judge", bound=Callable[..., Iterator[Any]])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Generic[Judge]):
    """One thing that a reviewer would refuse."""

    name: str
    description: str
    types: tuple[str, ...]
    """Of what resources; empty: of any type."""
    judge: Judge
    properties: Mapping[str, Mapping[str, Any]]
    """JSON schema of what a pack configuration may say to this rule."""


RULES: list[Rule[Callable[[Resource, Config], Iterator[str]]]] = []
"""Judged on each resource by itself."""
STACK_RULES: list[Rule[Callable[[Sequence[Resource]], Iterator[Finding]]]] = []
"""Judged on how resources go together, when all of them are there."""


def rule(
    among: list[Rule[Judge]], name: str, description: str, *types: str, **properties: Mapping[str, Any]
) -> Callable[[Judge], Judge]:
    """Enter the function below among the rules."""

    def entered(judge: Judge) -> Judge:
        among.append(Rule(name=name, description=description, types=types, judge=judge, properties=properties))
        return judge

    return entered


def is_given(value: Any) -> bool:
    """Whether there is a value, or may be one that is not known yet. Providers write down an empty text for none."""
    return value is UNKNOWN or value not in (None, "")


def shown(value: Any, nothing: str = "nothing") -> str:
    """A value for a message."""
    if value is None or value == "":
        return nothing
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)
