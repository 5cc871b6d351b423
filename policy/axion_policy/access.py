"""Who may do what: service accounts, scopes, roles, and who reaches a port."""

import ipaddress
from collections.abc import Iterator

from axion_policy.resource import CUSTOM_ROLE, FIREWALL, INSTANCE, RULES, UNKNOWN, Config, Resource, rule, shown

DEFAULT_ACCOUNTS = ("-compute@developer.gserviceaccount.com", "@appspot.gserviceaccount.com")
# `cloud-platform` is not here: Secret Manager takes no other scope (its REST reference, "Authorization scopes"), and an
# account of the host's own is limited by its roles. With a default account it is refused together with the account.
BROAD_SCOPES = frozenset(
    {"compute", "compute-rw", "compute.readonly", "devstorage.full_control", "storage-full", "sql-admin", "userinfo"}
)
PROJECT_ROLES_REFUSED = frozenset(
    {
        "roles/iam.serviceAccountTokenCreator", "roles/iam.serviceAccountUser", "roles/iam.workloadIdentityUser",
        "roles/secretmanager.secretAccessor", "roles/storage.objectViewer", "roles/storage.objectUser",
    }
)  # fmt: skip
BASIC_ROLES = frozenset({"roles/owner", "roles/editor", "roles/viewer"})
EVERYONE = frozenset({"allUsers", "allAuthenticatedUsers"})
BROAD_PERMISSIONS = ("setIamPolicy", "actAs", "getAccessToken", "signBlob", "signJwt", "implicitDelegation")
PROJECT_IAM = "gcp:projects/"
# IAP's TCP forwarding and Google's health checks: public addresses that are Google's own.
GOOGLE_RANGES = tuple(map(ipaddress.ip_network, ("35.235.240.0/20", "35.191.0.0/16", "130.211.0.0/22")))
# Two halves of the internet are the internet: no single office has a network larger than these.
WIDEST = {4: 8, 6: 16}


@rule(RULES, "own-service-account", "Hosts have a service account of their own and no broad scopes.", INSTANCE)
def own_account(instance: Resource, _config: Config) -> Iterator[str]:
    """A default account is an editor of the whole project."""
    account = instance.at("serviceAccount")
    if account is UNKNOWN:
        return
    email = instance.at("serviceAccount", "email")
    if email is not UNKNOWN and (not email or str(email).endswith(DEFAULT_ACCOUNTS)):
        got = shown(email, "none, which means the default one")
        yield f"serviceAccount.email: not an account of the host's own, got {got}. Make a serviceaccount.Account."
    scopes = instance.at("serviceAccount", "scopes")
    for scope in scopes if isinstance(scopes, list | tuple) else ():
        if isinstance(scope, str) and scope.rpartition("/")[2] in BROAD_SCOPES:
            yield f"serviceAccount.scopes: too broad, got {scope}. Write cloud-platform and let the roles decide."


@rule(RULES, "narrow-roles", "No broad roles, and nothing for everybody.")
def narrow_roles(grant: Resource, _config: Config) -> Iterator[str]:
    """An identity may do what its host needs, where it needs it."""
    if grant.type == CUSTOM_ROLE:
        permissions = grant.at("permissions")
        for permission in permissions if isinstance(permissions, list | tuple) else ():
            if isinstance(permission, str) and permission.rpartition(".")[2] in BROAD_PERMISSIONS:
                yield f"permissions: lets its holder become somebody else, got {permission}. Take it out."
        return
    if not _is_grant(grant.type):
        return
    members = grant.at("members") or [grant.at("member")]
    for member in members if isinstance(members, list | tuple) else ():
        if member in EVERYONE:
            yield f"member: everybody on the internet, got {member}. Name an account."
    role = grant.at("role")
    if not isinstance(role, str):
        return
    if role in BASIC_ROLES:
        yield f"role: a basic role, got {role}. Grant the one predefined role that is needed."
    elif grant.type.startswith(PROJECT_IAM) and (role in PROJECT_ROLES_REFUSED or role.lower().endswith("admin")):
        yield f"role: too much for a whole project, got {role}. Grant it on the one resource that needs it."


@rule(RULES, "no-open-firewall", "No port is open to the world.", FIREWALL)
def open_firewall(firewall: Resource, _config: Config) -> Iterator[str]:
    """A rule without any source is open to the world: Google's default is 0.0.0.0/0."""
    allows = firewall.at("allows")
    if (firewall.at("direction") or "INGRESS") != "INGRESS" or (not allows and firewall.at("denies")):
        return
    ranges = firewall.at("sourceRanges")
    if ranges is UNKNOWN:
        return
    if not ranges and not firewall.at("sourceTags") and not firewall.at("sourceServiceAccounts"):
        yield "sourceRanges: open to the world, got nothing, which means 0.0.0.0/0. Name the ranges that may connect."
    for each in ranges or ():
        if isinstance(each, str) and _is_too_wide(each):
            yield f"sourceRanges: open to the world, got {each}. Name the ranges that may connect."


def _is_grant(resource_type: str) -> bool:
    return resource_type.lower().endswith(("iammember", "iambinding"))


def _is_too_wide(text: str) -> bool:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False  # Google refuses it by itself
    is_googles = any(network.version == ours.version and network.subnet_of(ours) for ours in GOOGLE_RANGES)  # type: ignore[arg-type] # same version
    return not network.is_private and not is_googles and network.prefixlen < WIDEST[network.version]
