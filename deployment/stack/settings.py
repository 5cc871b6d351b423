"""What Pulumi.<stack>.yaml may say: where a deployment runs, typed, frozen, and closed to unknown keys."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from deployment.models import DEFAULT_MODELS
from deployment.stack.addresses import private_range, public_range

# Names become parts of Google's names: 63 characters for most, 30 for service accounts (guardrails count those). No
# hyphen: what takes no label is found by its name, and `axion-prod-eu-vpc` must belong to one stack only.
STACK_NAME = r"^[a-z][a-z0-9]*$"
HOST_NAME = r"^[a-z][a-z0-9]{0,11}$"
LABEL_KEY, LABEL_VALUE = r"^[a-z][a-z0-9_-]{0,62}$", r"^[a-z0-9_-]{0,63}$"
REGION = r"^[a-z]+-[a-z]+\d+$"
# What somebody else made: in any project, also one of an organisation's domain (`example.com:project`).
PROJECT = r"(?:[a-z][a-z0-9.-]*:)?[a-z][a-z0-9-]{4,28}[a-z0-9]"
RESOURCE = r"[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?"
SUBNETWORK = rf"^(?:projects/{PROJECT}/regions/[a-z]+-[a-z]+\d+/subnetworks/)?{RESOURCE}$"
KMS_KEY = rf"^projects/{PROJECT}/locations/[a-z0-9-]+/keyRings/[\w-]{{1,63}}/cryptoKeys/[\w-]{{1,63}}$"
# Not Google's default accounts, which end otherwise: those may edit the whole project.
ACCOUNT = r"^[a-z0-9][a-z0-9-]{4,28}[a-z0-9]@[a-z0-9.-]+\.iam\.gserviceaccount\.com$"
ROLE = rf"^(?:projects/{PROJECT}|organizations/\d+)/roles/[\w.]{{3,64}}$"

# What a host serves unless it says otherwise, for `fab` as well (build/deploy/models_file.py).

Count = Annotated[int, Field(gt=0)]
HostName = Annotated[str, Field(pattern=HOST_NAME)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE)]
Region = Annotated[str, Field(pattern=REGION)]
PrivateRange = Annotated[str, AfterValidator(private_range)]
PublicRange = Annotated[str, AfterValidator(public_range)]


class Settings(BaseModel):
    """A value written in camelCase, as Pulumi's users expect."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, defer_build=True)


class PublicIp(Settings):
    """An external address, and who may use it."""

    allow_cidrs: tuple[PublicRange, ...] = Field(
        min_length=1, description="the ranges that may connect, such as [203.0.113.0/28]"
    )
    """Opens the firewall to the gateway's ports for these addresses only, and gives the host a reserved address. Needs
    `axion:gatewayApiKeys`. At the widest a /16.
    """


class HostSettings(Settings):
    """One host. Its key is its name everywhere."""

    machine_type: str = Field(description="a machine type such as c4a-standard-32")
    """Decides cores, memory and most of the price. Google's Arm machines only: c4a and n4a. `fab doctor` says whether
    your quota allows it.
    """
    zone: str | None = Field(None, description="a zone of the stack's region")
    """The zone of this host. Left out, the first of `zones`, else `gcp:zone`. `fab move` moves a host with data."""
    zones: tuple[str, ...] = Field((), description="zones of the stack's region, for `fab up` to try in turn")
    """The zones that `fab up` tries, in this order, when one has no machine free. Only while the data disk is empty. It
    writes the zone with a machine as `zone`.
    """
    spot: bool = Field(False, description="true or false")
    """Whether Google may take the machine back at any time, with 30 seconds' notice. It costs much less. Engines drain
    before it goes.
    """
    on_demand_fallback: bool = Field(False, description="true or false: whether `fab up` may give up spot")
    """Whether `fab up` takes a machine at the full price when no spot machine is free. `axion:maxHourlyUsd` must allow
    that price.
    """
    preemption_notice_seconds: Annotated[int, Field(gt=0, le=120)] | None = Field(
        None, description="seconds, up to 120, that a spot host hears before Google takes it, beside the usual 30"
    )
    """More time for answers to end before a spot host is preempted. Google offers it as a preview. Only with `spot` or
    `onDemandFallback`.
    """
    max_run_hours: Annotated[int, Field(gt=0, le=2880)] | None = Field(
        None, description="whole hours, up to 2880, after which Google stops it whatever happens"
    )
    """Limits the cost of a forgotten host. `fab start` starts it again. Left out, there is no limit."""
    boot_disk_gib: Annotated[int, Field(ge=10, le=2048)] = Field(50, description="GiB from 10 to 2048")
    """The disk of the operating system. Models and engines are not on it."""
    boot_disk_type: str = Field("hyperdisk-balanced", description="a disk type such as hyperdisk-balanced")
    """The kind of the boot disk. It must be one that the machine can boot from."""
    data_disk_gib: Count = Field(200, description="GiB for weights, builds and releases")
    """The disk for models, engines and releases. It is protected: a smaller size is refused. It must hold all
    checkpoints and a few releases.
    """
    data_disk_type: str = Field("hyperdisk-balanced", description="a disk type such as hyperdisk-balanced")
    """The kind of the data disk. A change would make a new, empty disk: it is refused."""
    data_disk_iops: Count | None = Field(None, description="operations a second, or leave it out for Google's default")
    """Speed of small reads. It costs money above what is included. Not every disk type takes it."""
    data_disk_throughput: Count | None = Field(None, description="MiB a second, or leave it out for Google's default")
    """Speed of large reads. It decides how long models take to load, and costs money above what is included. Not every
    disk type takes it.
    """
    image: str | None = Field(None, description="an arm64 image or family, or leave it out for the catalog's")
    """The operating system: see [what a host must be](operations.md#what-a-host-must-be). Another image means a
    new boot disk and a new instance; the data disk stays. A family stands for its newest image at the time when the
    instance is created.
    """
    public_ip: PublicIp | None = Field(None, description="a mapping such as {allowCidrs: [203.0.113.0/28]}")
    """An address on the internet. Left out, the host has none, and clients come through a tunnel."""
    idle_stop_minutes: Annotated[int, Field(ge=5, le=1440)] | None = Field(
        None, description="minutes without a request, from 5 to 1440, after which it stops itself"
    )
    """Saves money: a host without requests, terminals or long-running jobs stops, and keeps its disks. `fab start`
    starts it again. Left out, it keeps running.
    """
    models: str = Field(DEFAULT_MODELS, min_length=1, description="the models file that it will serve")
    """What this host serves. The path is relative to the directory of Pulumi.yaml."""
    service_account: str | None = Field(
        None, pattern=ACCOUNT, description="an account that exists, such as serving@my-project.iam.gserviceaccount.com"
    )
    """The host's service account. Left out, one is created with the few roles that it needs. Your own needs the roles
    that the preview lists.
    """

    @property
    def stays_on(self) -> bool:
        """Whether nothing but a person, or a fault, stops it."""
        return not (self.spot or self.max_run_hours or self.idle_stop_minutes)


class NetworkSettings(Settings):
    """The stack's own network, or a subnet that exists already."""

    cidr: PrivateRange = Field("10.20.0.0/24", description="a private range such as 10.20.0.0/24")
    """The addresses of the network that is created. Choose another range if you connect it to your own network. /29 or
    wider. Not with `subnetwork`.
    """
    flow_logs: bool = Field(False, description="true or false")
    """Whether Google logs who connected to whom, and charges for it. Not with `subnetwork`."""
    gateway_cidrs: tuple[PrivateRange, ...] = Field((), description="private ranges that may reach the gateway")
    """Opens the firewall to the gateway's ports of every host for these addresses. Needs `axion:gatewayApiKeys`, and an
    address in `gateway.listen` that is not loopback.
    """
    subnetwork: str | None = Field(
        None,
        pattern=SUBNETWORK,
        description="a subnet that exists: its name, or projects/HOST-PROJECT/regions/REGION/subnetworks/NAME",
    )
    """Puts the hosts into your own network. Then no network is created, and the preview lists what yours must have."""
    vpc: str | None = Field(
        None, pattern=f"^{RESOURCE}$", description="the name of that subnet's VPC, where the firewall shall be opened"
    )
    """Lets the stack open the firewall of your network. Left out, its owner must do that. Only with `subnetwork`, and
    in the stack's project.
    """


class BudgetSettings(Settings):
    """When Google sends messages about cost."""

    monthly_amount: Count = Field(description="a whole number a month, in the billing account's currency")
    """Google sends mail to the account's administrators at 50, 90 and 100 percent of it. It stops nothing."""
    billing_account: str = Field(
        pattern=r"^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", description="an id such as 012345-6789AB-CDEF01"
    )
    """Which account pays for the project. `gcloud billing accounts list` shows it."""


class AlertSettings(Settings):
    """Who gets alerts."""

    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", description="an e-mail address")
    """Gets a message when a host is down, full, short of memory or idle."""


def _top_alias(name: str) -> str:
    return f"gcp:{name}" if name in ("project", "zone", "region") else f"axion:{to_camel(name)}"


class StackSettings(BaseModel):
    """A stack's configuration, checked value by value; guardrails check it as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=_top_alias, defer_build=True)

    project: str = Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$", description="a Google Cloud project id")
    """The project in which everything is created. Its billing account pays."""
    zone: str = Field(pattern=r"^[a-z]+-[a-z]+\d+-[a-z]$", description="a zone such as us-central1-a")
    """The zone of hosts that set neither `zone` nor `zones`."""
    region: str = Field(pattern=REGION, description="the region of the zone, or leave it out")
    """The region of the stack. It follows from the zone: there is no need to set it."""
    hosts: dict[HostName, HostSettings] = Field(min_length=1, description="a mapping from host name to host")
    """The hosts of this stack. The key is the host's name in `fab` and in Google's names."""
    max_hourly_usd: Annotated[float, Field(gt=0)] = Field(description="dollars an hour that all hosts may cost")
    """The cost limit, in US dollars an hour. A preview above it fails, and nothing is created. Every host counts as
    running, at the catalog's prices.
    """
    allow_unknown: bool = Field(False, description="true or false")
    """Whether to continue, with a warning, if the catalog lacks a price, region, machine type or disk type. Its former
    name, `axion:allowUnknownPrices`, still works.
    """
    network: NetworkSettings = Field(NetworkSettings(), description="the network's settings")
    """The hosts' network, and who may reach their gateways from inside it."""
    gateway_api_keys: bool = Field(False, description="a secret: `pulumi config set --secret axion:gatewayApiKeys`")
    """The keys that clients must send, one a line. Needed where `gatewayCidrs` or `publicIp` opens the gateway. Set it
    with `--secret`; it is kept in Secret Manager.
    """
    hub_token: bool = Field(False, description="a secret: `pulumi config set --secret axion:hubToken`")
    """A token of the model hub, for models whose publisher asks for one. Set it with `--secret`; it is kept in Secret
    Manager.
    """
    bucket: bool = Field(False, description="true or false")
    """Whether to create a bucket. `--wheels` keeps compiled engines there, and `fab models-pull --source` takes weights
    from it.
    """
    budget: BudgetSettings | None = Field(None, description="a mapping with monthlyAmount and billingAccount")
    """Messages from Google about what the project costs. Left out, there are none. With your own login it also needs
    `gcp:userProjectOverride: true` and `gcp:billingProject`.
    """
    alerts: AlertSettings | None = Field(None, description="a mapping such as {email: me@example.com}")
    """Messages about hosts in trouble. Left out, there are none."""
    labels: dict[LabelKey, LabelValue] = Field({}, description="a mapping of lower-case keys and values")
    """Further labels for everything that takes labels, such as who pays for it. They are not secret."""
    delete_data: tuple[str, ...] = Field(
        (), description="names of data disks, and of the bucket, that Pulumi may delete with all that is on them"
    )
    """Disks, and the bucket, that Pulumi may delete with their data, by `pulumi destroy` or by any change. All others
    are protected: Pulumi refuses.
    """
    secure_boot: bool = Field(True, description="true or false")
    """Whether hosts boot only signed systems. Your own image may need `false`."""
    secret_regions: tuple[Region, ...] = Field((), description="regions such as [europe-west4], or leave it out")
    """Where Secret Manager keeps the secrets. Left out, Google chooses; with `axion:kmsKey`, in the stack's region."""
    kms_key: str | None = Field(
        None, pattern=KMS_KEY, description="projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY"
    )
    """Your own key that encrypts disks, snapshots, the bucket and secrets. It must be in the stack's region. Choose it
    before the first `pulumi up`: a disk cannot change its key.
    """
    stop_role: str | None = Field(
        None, pattern=ROLE, description="projects/PROJECT/roles/ROLE or organizations/NUMBER/roles/ROLE"
    )
    """Your own role that lets a host stop itself. Left out, one is created for each host."""

    @field_validator("budget", "alerts", "kms_key", "stop_role", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        """Pulumi.yaml can only declare an optional value by giving it an empty default."""
        return None if value in ({}, "") else value

    @property
    def subnetwork(self) -> str | None:
        """The full name of the subnet that exists, or None where the stack makes its own."""
        given = self.network.subnetwork
        if given is None or "/" in given:
            return given
        return f"projects/{self.project}/regions/{self.region}/subnetworks/{given}"

    @property
    def replicas(self) -> tuple[str, ...]:
        """Where secrets are kept; none means that Google chooses. A key encrypts only what lies where it lies."""
        return self.secret_regions or ((self.region,) if self.kms_key else ())

    def zone_of(self, host: str) -> str:
        """Where a host stands."""
        settings = self.hosts[host]
        return settings.zone or (settings.zones[0] if settings.zones else self.zone)
