"""What an organisation brings along instead of having it made: a subnet, an account, a role, a key.

Two things follow from each: what cannot go together, and what then is not made and must be there. The second is said
at every preview, since only its owner can see to it.
"""

from collections.abc import Iterator

from deployment.problems import joined
from deployment.stack.addresses import IAP_RANGE
from deployment.stack.settings import StackSettings

Problem = tuple[tuple[str, ...], str]
NETWORK, KEY, REPLICAS, STOP_ROLE = "axion:network", "axion:kmsKey", "axion:secretRegions", "axion:stopRole"
# What infra/identity.py grants to the accounts that it makes.
PROJECT_ROLES = {"logs": "roles/logging.logWriter", "metrics": "roles/monitoring.metricWriter"}
SECRET_ROLE, BUCKET_ROLE = "roles/secretmanager.secretAccessor", "roles/storage.objectViewer"
STOP_PERMISSION = "compute.instances.stop"
# Each service encrypts as itself ("Service agents" in the documentation of IAM).
KMS_ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
AGENTS = {"disks": "compute-system", "secrets": "gcp-sa-secretmanager", "the bucket": "gs-project-accounts"}


def organisation_problems(settings: StackSettings) -> Iterator[Problem]:
    """What does not go together, by its place in the stack's file."""
    yield from _network(settings)
    yield from _key(settings)
    role = settings.stop_role
    if role is not None and role.startswith("projects/") and role.split("/")[1] != settings.project:
        why = "a project's role cannot be granted in another project, got"
        yield (STOP_ROLE,), f"{why} {role}. Make it in {settings.project}, or in the organisation."


def _network(settings: StackSettings) -> Iterator[Problem]:
    network, subnetwork = settings.network, settings.subnetwork
    if subnetwork is None:
        if network.vpc is not None:
            yield (NETWORK, "vpc"), f"of no use without a subnet in it, got {network.vpc}. Name it in subnetwork, too."
        return
    for field, key in (("cidr", "cidr"), ("flow_logs", "flowLogs")):
        if field in network.model_fields_set:
            yield (NETWORK, key), f"the subnet exists and is not changed, got {network.subnetwork}. Take {key} out."
    _, project, _, region, _, _ = subnetwork.split("/")
    if region != settings.region:
        yield (NETWORK, "subnetwork"), f"in another region than the stack, got {region}. Name one of {settings.region}."
    if network.vpc is not None and project != settings.project:
        why = f"the subnet's VPC is {project}'s, whose owner opens its firewall, got"
        yield (NETWORK, "vpc"), f"{why} {network.vpc}. Take vpc out."


def _key(settings: StackSettings) -> Iterator[Problem]:
    """One key for all: a bucket's and a replica's must lie where they do, a disk's may."""
    if settings.kms_key is None:
        return
    location = settings.kms_key.split("/")[3]
    if location != settings.region:
        why = "a key encrypts only what lies where it lies, got"
        yield (KEY,), f"{why} {location}. Give a key of {settings.region}, the stack's region."
    elif settings.replicas != (settings.region,):
        why = f"the key encrypts secrets in {location} only, got {joined(settings.replicas)}"
        yield (REPLICAS,), f"{why}. Take it out, or give [{location}]."


def brought_along(settings: StackSettings, stack: str, gateway_ports: tuple[str, ...]) -> Iterator[str]:
    """What is not made, and what must be there instead: one sentence for each owner."""
    yield from _subnet_needs(settings, stack, gateway_ports)
    for name in settings.hosts:
        yield from _account_needs(settings, stack, name)
    if settings.stop_role is not None:
        yield f"{STOP_ROLE}: no role is made. {settings.stop_role} must have {STOP_PERMISSION}, and needs no more."
    if settings.kms_key is not None:
        agents = {what: agent for what, agent in AGENTS.items() if settings.bucket or what != "the bucket"}
        named = joined(f"service-NUMBER@{agent}.iam.gserviceaccount.com ({what})" for what, agent in agents.items())
        yield (
            f"{KEY}: {KMS_ROLE} on {settings.kms_key} is not granted here. Its owner grants it to {named}, where "
            f"NUMBER is that of {settings.project}."
        )


def _subnet_needs(settings: StackSettings, stack: str, gateway_ports: tuple[str, ...]) -> Iterator[str]:
    network, subnetwork = settings.network, settings.subnetwork
    if subnetwork is None:
        return
    made = "" if network.vpc is None else f" Its firewall is opened in {network.vpc}."
    yield (
        f"{NETWORK}: no VPC, subnet, router, NAT{' or' if network.vpc else ', firewall or'} flow log is made.{made} "
        f"{subnetwork} must have private Google access and a way out, such as Cloud NAT, and whoever runs "
        "`pulumi up` roles/compute.networkUser on it."
    )
    if network.vpc is not None:
        return
    openings = [f"tcp:22 from {IAP_RANGE} to tag axion-{stack}-host"]
    ports = ",".join(gateway_ports)
    if network.gateway_cidrs:
        openings.append(f"tcp:{ports} from {joined(network.gateway_cidrs)} to tag axion-{stack}-host")
    for name, host in settings.hosts.items():
        if host.public_ip is not None:
            cidrs = joined(host.public_ip.allow_cidrs)
            openings.append(f"tcp:{ports} from {cidrs} to tag axion-{stack}-host-{name}")
    yield f"{NETWORK}: the subnet's firewall must let in {'; '.join(openings)}."


def _account_needs(settings: StackSettings, stack: str, name: str) -> Iterator[str]:
    account = settings.hosts[name].service_account
    if account is None:
        return
    secrets = [f"axion-{stack}-gateway-api-keys", *([f"axion-{stack}-hub-token"] if settings.hub_token else [])]
    needs = [f"{joined(PROJECT_ROLES.values())} on {settings.project}"]
    needs.append(f"{SECRET_ROLE} on {joined(secrets)}")
    if settings.bucket:
        needs.append(f"{BUCKET_ROLE} on gs://axion-{stack}-{settings.project}")
    if settings.stop_role is None:
        needs.append(f"{STOP_PERMISSION} on the instance axion-{stack}-{name}")
    yield (
        f"axion:hosts {name} serviceAccount: no account is made and nothing is granted to it. {account} needs "
        f"{'; '.join(needs)}. Whoever runs `pulumi up` needs roles/iam.serviceAccountUser on it."
    )
