"""What Pulumi.<stack>.yaml may say: where a deployment runs, typed, frozen, and closed to unknown keys."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from deployment.addresses import private_range, public_range

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

# What a host serves unless it says otherwise, for `fab` as well (build/models_file.py).
DEFAULT_MODELS = "models.yaml"

Count = Annotated[int, Field(gt=0)]
HostName = Annotated[str, Field(pattern=HOST_NAME)]
LabelKey = Annotated[str, Field(pattern=LABEL_KEY)]
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE)]
Region = Annotated[str, Field(pattern=REGION)]
PrivateRange = Annotated[str, AfterValidator(private_range)]
PublicRange = Annotated[str, AfterValidator(public_range)]


class Settings(BaseModel):
    """A value written in camelCase, as Pulumi's users expect."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class PublicIp(Settings):
    """An external address, and who may use it."""

    allow_cidrs: tuple[PublicRange, ...] = Field(
        min_length=1, description="the ranges that may connect, such as [203.0.113.0/28]"
    )


class HostSettings(Settings):
    """One machine. Its key is its name everywhere."""

    machine_type: str = Field(description="a machine type such as c4a-standard-32")
    zone: str | None = Field(None, description="a zone of the stack's region")
    zones: tuple[str, ...] = Field((), description="zones of the stack's region, for `fab up` to try in turn")
    spot: bool = Field(False, description="true or false")
    on_demand_fallback: bool = Field(False, description="true or false: whether `fab up` may give up spot")
    preemption_notice_seconds: Annotated[int, Field(gt=0, le=120)] | None = Field(
        None, description="seconds, up to 120, that a spot host hears before Google takes it, beside the usual 30"
    )
    max_run_hours: Annotated[int, Field(gt=0, le=2880)] | None = Field(
        None, description="whole hours, up to 2880, after which Google stops it whatever happens"
    )
    boot_disk_gib: Annotated[int, Field(ge=10, le=2048)] = Field(50, description="GiB from 10 to 2048")
    boot_disk_type: str = Field("hyperdisk-balanced", description="a disk type such as hyperdisk-balanced")
    data_disk_gib: Count = Field(200, description="GiB for weights, builds and releases")
    data_disk_type: str = Field("hyperdisk-balanced", description="a disk type such as hyperdisk-balanced")
    data_disk_iops: Count | None = Field(None, description="operations a second, or leave it out for Google's default")
    data_disk_throughput: Count | None = Field(None, description="MiB a second, or leave it out for Google's default")
    image: str | None = Field(None, description="an arm64 image or family, or leave it out for the catalog's")
    public_ip: PublicIp | None = Field(None, description="a mapping such as {allowCidrs: [203.0.113.0/28]}")
    idle_stop_minutes: Annotated[int, Field(ge=5, le=1440)] | None = Field(
        None, description="minutes without a request, from 5 to 1440, after which it stops itself"
    )
    models: str = Field(DEFAULT_MODELS, min_length=1, description="the models file that it will serve")
    service_account: str | None = Field(
        None, pattern=ACCOUNT, description="an account that exists, such as serving@my-project.iam.gserviceaccount.com"
    )

    @property
    def stays_on(self) -> bool:
        """Whether nothing but a person, or a fault, stops it."""
        return not (self.spot or self.max_run_hours or self.idle_stop_minutes)


class NetworkSettings(Settings):
    """The stack's own network, or a subnet that exists already."""

    cidr: PrivateRange = Field("10.20.0.0/24", description="a private range such as 10.20.0.0/24")
    flow_logs: bool = Field(False, description="true or false")
    gateway_cidrs: tuple[PrivateRange, ...] = Field((), description="private ranges that may reach the gateway")
    subnetwork: str | None = Field(
        None,
        pattern=SUBNETWORK,
        description="a subnet that exists: its name, or projects/HOST-PROJECT/regions/REGION/subnetworks/NAME",
    )
    vpc: str | None = Field(
        None, pattern=f"^{RESOURCE}$", description="the name of that subnet's VPC, where the firewall shall be opened"
    )


class BudgetSettings(Settings):
    """When Google should write about money."""

    monthly_amount: Count = Field(description="a whole number a month, in the billing account's currency")
    billing_account: str = Field(
        pattern=r"^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", description="an id such as 012345-6789AB-CDEF01"
    )


class AlertSettings(Settings):
    """Who hears about trouble."""

    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", description="an e-mail address")


def _top_alias(name: str) -> str:
    return f"gcp:{name}" if name in ("project", "zone", "region") else f"axion:{to_camel(name)}"


class StackSettings(BaseModel):
    """Everything a stack's configuration says, checked value by value; guardrails check it as a whole."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=_top_alias)

    project: str = Field(pattern=r"^[a-z][a-z0-9-]{4,28}[a-z0-9]$", description="a Google Cloud project id")
    zone: str = Field(pattern=r"^[a-z]+-[a-z]+\d+-[a-z]$", description="a zone such as us-central1-a")
    region: str = Field(pattern=REGION, description="the region of the zone, or leave it out")
    hosts: dict[HostName, HostSettings] = Field(min_length=1, description="a mapping from host name to host")
    max_hourly_usd: Annotated[float, Field(gt=0)] = Field(description="dollars an hour that all hosts may cost")
    allow_unknown: bool = Field(False, description="true or false")
    network: NetworkSettings = Field(NetworkSettings(), description="the network's settings")
    gateway_api_keys: bool = Field(False, description="a secret: `pulumi config set --secret axion:gatewayApiKeys`")
    hub_token: bool = Field(False, description="a secret: `pulumi config set --secret axion:hubToken`")
    bucket: bool = Field(False, description="true or false")
    budget: BudgetSettings | None = Field(None, description="a mapping with monthlyAmount and billingAccount")
    alerts: AlertSettings | None = Field(None, description="a mapping such as {email: me@example.com}")
    labels: dict[LabelKey, LabelValue] = Field({}, description="a mapping of lower-case keys and values")
    delete_data: tuple[str, ...] = Field(
        (), description="names of data disks, and of the bucket, that Pulumi may delete with all that is on them"
    )
    secure_boot: bool = Field(True, description="true or false")
    secret_regions: tuple[Region, ...] = Field((), description="regions such as [europe-west4], or leave it out")
    kms_key: str | None = Field(
        None, pattern=KMS_KEY, description="projects/PROJECT/locations/REGION/keyRings/RING/cryptoKeys/KEY"
    )
    stop_role: str | None = Field(
        None, pattern=ROLE, description="projects/PROJECT/roles/ROLE or organizations/NUMBER/roles/ROLE"
    )

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
