"""What Google refuses of things that others made: subnets of a host project, accounts, keys."""

from typing import Any

import pytest

from tests.support.cloud_calls import COMPUTE, ZONE, booted, disk, done, get, instance, network, post, refusal
from tests.support.fakes.cloud.encryption import COMPUTE as DISKS
from tests.support.fakes.cloud.encryption import SECRETS, STORAGE, add_key
from tests.support.fakes.cloud.others import ACCOUNT_USER, CALLER, NETWORK_USER, grant
from tests.support.fakes.cloud.server import Cloud

Json = dict[str, Any]
SUBNET = "projects/corp/regions/us-central1/subnetworks/serving"
EMAIL = "serving@corp.iam.gserviceaccount.com"
ACCOUNT = f"projects/corp/serviceAccounts/{EMAIL}"
OWN_EMAIL = "serving@axion-test.iam.gserviceaccount.com"
OWN_ACCOUNT = f"projects/axion-test/serviceAccounts/{OWN_EMAIL}"
RING = "keyRings/ring/cryptoKeys/disks"
KEY, ELSEWHERE, GLOBAL = (f"projects/corp/locations/{one}/{RING}" for one in ("us-central1", "us-east1", "global"))
NO_ACCESS = (400, "SERVICE_ACCOUNT_ACCESS_DENIED", "The user does not have access to service account")


def shared(cloud: Cloud) -> None:
    link = "https://www.googleapis.com/compute/v1/"
    found = {"name": "serving", "ipCidrRange": "10.1.0.0/24", "network": f"{link}projects/corp/global/networks/n"}
    cloud.state.resources[SUBNET] = {**found, "selfLink": link + SUBNET}


def in_subnet() -> Json:
    return instance(networkInterfaces=[{"subnetwork": SUBNET, "nicType": "GVNIC"}])


def as_account(email: str) -> Json:
    return instance(serviceAccounts=[{"email": email, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}])


def test_a_subnet_of_another_project_needs_a_shared_vpc_and_a_network_user(cloud: Cloud) -> None:
    shared(cloud)
    code, _, message = refusal(post(cloud, f"{ZONE}/instances", in_subnet()))
    assert (code, "Cross-project references for this resource are not allowed." in message) == (400, True)
    cloud.state.settings.host_projects.add("corp")
    denied = (403, "forbidden", f"Required 'compute.subnetworks.use' permission for '{SUBNET}'")
    assert refusal(post(cloud, f"{ZONE}/instances", in_subnet())) == denied
    grant(cloud.state, SUBNET, "roles/compute.viewer")
    assert refusal(post(cloud, f"{ZONE}/instances", in_subnet())) == denied
    grant(cloud.state, "projects/corp", NETWORK_USER)  # on the whole host project
    del cloud.state.resources[SUBNET]
    code, _, message = refusal(post(cloud, f"{ZONE}/instances", in_subnet()))
    assert (code, "The referenced subnetwork resource cannot be found." in message) == (400, True)
    shared(cloud)
    assert "error" not in done(cloud, "POST", f"{ZONE}/instances", in_subnet())


@pytest.mark.parametrize(("email", "path"), [(EMAIL, ACCOUNT), (OWN_EMAIL, OWN_ACCOUNT)])
def test_an_account_must_be_there_and_be_the_callers_to_use(email: str, path: str, cloud: Cloud) -> None:
    network(cloud)
    cloud.state.settings.caller_is_owner = False

    def tried() -> tuple[int, str, str]:
        code, reason, message = refusal(post(cloud, f"{ZONE}/instances", as_account(email)))
        return code, reason, message.partition(" '")[0]

    grant(cloud.state, path, ACCOUNT_USER)
    assert tried() == NO_ACCESS  # nobody made it
    cloud.state.resources[path] = {"name": path, "email": email}
    cloud.state.policies.clear()
    assert tried() == NO_ACCESS
    grant(cloud.state, path, ACCOUNT_USER, "user:another@example.com")
    assert tried() == NO_ACCESS
    grant(cloud.state, path, ACCOUNT_USER, CALLER)
    assert "error" not in done(cloud, "POST", f"{ZONE}/instances", as_account(email))


def test_an_owner_may_be_every_account_of_the_project_and_none_of_another(cloud: Cloud) -> None:
    booted(cloud)
    cloud.state.resources |= {path: {"name": path} for path in (ACCOUNT, OWN_ACCOUNT)}
    done(cloud, "POST", f"{ZONE}/instances/vm/stop")
    body = {"email": EMAIL, "scopes": ["https://www.googleapis.com/auth/cloud-platform"]}
    assert refusal(post(cloud, f"{ZONE}/instances/vm/setServiceAccount", body))[:2] == NO_ACCESS[:2]
    done(cloud, "POST", f"{ZONE}/instances/vm/setServiceAccount", {**body, "email": OWN_EMAIL})


def test_a_disk_takes_a_key_of_its_region_or_a_global_one_that_compute_may_use(cloud: Cloud) -> None:
    def tried(key: str) -> tuple[int, Json]:
        return post(cloud, f"{ZONE}/disks", disk(diskEncryptionKey={"kmsKeyName": key}))

    why = f"Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied on resource '{KEY}' (or it may not exist)."
    denied = (400, "invalid", f"Cloud KMS error when using key {KEY}: {why}")
    assert refusal(tried(KEY)) == denied
    add_key(cloud.state, KEY, STORAGE, SECRETS)
    assert refusal(tried(KEY)) == denied
    add_key(cloud.state, ELSEWHERE, DISKS)
    assert "the key is in us-east1, the disk in us-central1" in refusal(tried(ELSEWHERE))[2]
    assert "The URL is malformed" in refusal(tried(f"{KEY}/cryptoKeyVersions/1"))[2]
    add_key(cloud.state, GLOBAL, DISKS)
    done(cloud, "POST", f"{ZONE}/disks", disk("first", diskEncryptionKey={"kmsKeyName": GLOBAL}))
    add_key(cloud.state, KEY, DISKS)
    done(cloud, "POST", f"{ZONE}/disks", disk(diskEncryptionKey={"kmsKeyName": KEY}))
    assert get(cloud, f"{COMPUTE}/zones/us-central1-a/disks/data")["diskEncryptionKey"] == {
        "kmsKeyName": f"{KEY}/cryptoKeyVersions/1"
    }


def test_a_bucket_takes_a_key_of_its_place_only(cloud: Cloud) -> None:
    def tried(key: str) -> tuple[int, Json]:
        body = {"name": "bucket-of-ours", "location": "US-CENTRAL1", "encryption": {"defaultKmsKeyName": key}}
        return post(cloud, "/storage/v1/b?project=axion-test", body)

    add_key(cloud.state, GLOBAL, STORAGE)
    place = "Cloud KMS region 'global' not available for use with GCS region 'US-CENTRAL1'."
    assert refusal(tried(GLOBAL)) == (400, "invalid", place)
    add_key(cloud.state, KEY, DISKS)
    assert refusal(tried(KEY))[:2] == (403, "forbidden")
    add_key(cloud.state, KEY, STORAGE)
    assert tried(KEY)[0] == 200


@pytest.mark.parametrize(
    ("replication", "said"),
    [
        ({"automatic": {"customerManagedEncryption": {"kmsKeyName": GLOBAL}}}, None),
        ({"automatic": {"customerManagedEncryption": {"kmsKeyName": KEY}}}, "must be in location global"),
        ({"userManaged": {"replicas": [{"location": "us-central1", "customerManagedEncryption": {"kmsKeyName": KEY}}]}},
         None),
        ({"userManaged": {"replicas": [{"location": "us-east1", "customerManagedEncryption": {"kmsKeyName": KEY}}]}},
         "must be in location us-east1, got us-central1"),
        ({"userManaged": {"replicas": [{"location": "us-central1", "customerManagedEncryption": {"kmsKeyName": KEY}},
                                       {"location": "us-east1"}]}},
         "Either all replicas or none"),
        ({"userManaged": {"replicas": [{"location": "us-central1"}, {"location": "us-east1"}]}}, None),
    ],
)  # fmt: skip
def test_a_secrets_key_lies_where_its_replica_lies(replication: Json, said: str | None, cloud: Cloud) -> None:
    add_key(cloud.state, KEY, SECRETS)
    add_key(cloud.state, GLOBAL, SECRETS)
    answered = post(cloud, "/v1/projects/axion-test/secrets?secretId=one", {"replication": replication})
    if said is None:
        assert answered[0] == 200, answered
    else:
        assert said in refusal(answered)[2]


def test_a_secret_is_refused_a_key_that_its_service_may_not_use(cloud: Cloud) -> None:
    add_key(cloud.state, GLOBAL, DISKS, STORAGE)
    body = {"replication": {"automatic": {"customerManagedEncryption": {"kmsKeyName": GLOBAL}}}}
    assert "useToEncrypt' denied" in refusal(post(cloud, "/v1/projects/axion-test/secrets?secretId=one", body))[2]
