"""Keys of Cloud KMS, which somebody else makes: where they must lie, and which of Google's services may use them.

A test makes one with `add_key`, and lets a service use it with `let_encrypt`.
"""

import re
from typing import Any

from tests.support.fakes.cloud.errors import ApiError, invalid, invalid_field
from tests.support.fakes.cloud.state import State

Json = dict[str, Any]
KEY = re.compile(r"projects/[^/]+/locations/(?P<location>[^/]+)/keyRings/[^/]+/cryptoKeys/[^/]+")
ROLE = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
# "Service agents" in the documentation of IAM: each service encrypts as itself, for the project that asks.
COMPUTE, STORAGE, SECRETS = "compute-system", "gs-project-accounts", "gcp-sa-secretmanager"


def add_key(state: State, path: str, *agents: str) -> None:
    """A key that the given services may use."""
    assert KEY.fullmatch(path), f"{path}: not a key's name. Correct the test."
    state.resources[path] = {"name": path, "purpose": "ENCRYPT_DECRYPT"}
    members = [agent(state, one) for one in agents]
    state.policies[path] = {"version": 1, "bindings": [{"role": ROLE, "members": members}]}


def agent(state: State, service: str) -> str:
    """A service as it acts for the project."""
    return f"serviceAccount:service-{state.settings.number}@{service}.iam.gserviceaccount.com"


def is_granted(state: State, path: str, role: str, member: str) -> bool:
    """Whether a policy gives a member a role."""
    bindings = state.policies.get(path, {}).get("bindings", [])
    return any(binding["role"] == role and member in binding["members"] for binding in bindings)


def _location(key: str, field: str) -> str:
    found = KEY.fullmatch(key)
    if found is None:
        raise invalid_field(field, key, "The URL is malformed.")
    return found["location"]


def _may(state: State, key: str, service: str) -> bool:
    """A key that is not there cannot be told from one that may not be used."""
    return key in state.resources and is_granted(state, key, ROLE, agent(state, service))


def _denied(key: str) -> str:
    return f"Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource '{key}' (or it may not exist)."


def disk_encryption(state: State, region: str, given: Json) -> Json:
    """How a disk shows its key: with the version that encrypts it. Only the body of an insert has a `kmsKeyName`.

    The region's own keys and global ones are taken ("Encrypt disks with customer-managed encryption keys": same region,
    a multi-region around it, or global; the multi-regions are left out here). The refusal's words are those in issue
    5103 of Terraform's Google provider; those for a wrong place were not found and are ours.
    """
    key = given["kmsKeyName"]
    location = _location(key, "resource.diskEncryptionKey.kmsKeyName")
    if location not in (region, "global"):
        raise invalid(f"Cloud KMS error when using key {key}: the key is in {location}, the disk in {region}.")
    if not _may(state, key, COMPUTE):
        raise invalid(f"Cloud KMS error when using key {key}: {_denied(key)}")
    return {**given, "kmsKeyName": f"{key}/cryptoKeyVersions/1"}


def check_bucket_key(state: State, location: str, key: str) -> None:
    """A bucket's key lies where the bucket lies, "global" is no such place (Cloud Storage, "Customer-managed keys").

    The words: google-cloud-go's issue 1787 for the place, gcp-landing-zone's pull request 59 for the grant.
    """
    where = _location(key, "encryption.defaultKmsKeyName")
    if where.upper() != location:
        raise invalid(f"Cloud KMS region '{where}' not available for use with GCS region '{location}'.")
    if not _may(state, key, STORAGE):
        to_do = "Please ensure that your Cloud Storage service account has been authorized to use this key."
        raise ApiError(403, "forbidden", f"Permission denied on Cloud KMS key. {to_do}")


def check_secret_keys(state: State, replication: Json) -> None:
    """A replica's key lies where the replica lies, that of automatic replication in `global`.

    From the reference of `CustomerManagedEncryption` in Secret Manager's API; all replicas have keys or none ("Enable
    CMEK for Secret Manager"). The words are ours.
    """
    replicas = replication.get("userManaged", {}).get("replicas", [])
    places = [(one.get("location", ""), one) for one in replicas] or [("global", replication.get("automatic", {}))]
    keys = [(place, one["customerManagedEncryption"]["kmsKeyName"]) for place, one in places if _has_key(one)]
    if keys and len(keys) != len(places):
        raise ApiError(400, "badRequest", "Either all replicas or none must have customer-managed encryption.")
    for place, key in keys:
        where = _location(key, "replication")
        if where != place:
            raise ApiError(400, "badRequest", f"The Cloud KMS key {key} must be in location {place}, got {where}.")
        if not _may(state, key, SECRETS):
            raise ApiError(400, "failedPrecondition", _denied(key), status="FAILED_PRECONDITION")


def _has_key(one: Json) -> bool:
    return "customerManagedEncryption" in one
