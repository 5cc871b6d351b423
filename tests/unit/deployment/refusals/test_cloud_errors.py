"""What a refusal of Google's means, from messages as gcloud, the provider and the API write them."""

import pytest

from deployment.refusals.cloud_errors import Kind, classify

QUOTA = "error: googleapi: Error 403: Quota 'C4A_CPUS' exceeded.  Limit: 8.0 in region us-central1., quotaExceeded"
STOCKOUT = (
    "error: 1 error occurred: * Error waiting for instance to create: The zone 'projects/p/zones/us-central1-a' does "
    "not have enough resources available to fulfill the request. '(resource type:compute)'."
)
DISABLED = (
    "ERROR: (gcloud.compute.instances.list) Some requests did not succeed:\n - Compute Engine API has not been used in "
    "project 123 before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/"
    "compute.googleapis.com/overview?project=123 then retry. PERMISSION_DENIED\n reason: SERVICE_DISABLED"
)
FORBIDDEN = (
    "ERROR: (gcloud.compute.disks.list) Could not fetch resource:\n"
    " - Required 'compute.disks.list' permission for 'projects/p'"
)
LOGIN = (
    "ERROR: (gcloud.compute.regions.describe) You do not currently have an active account selected.\n"
    "Please run:\n\n  $ gcloud auth login\n"
)
ABSENT = (
    "ERROR: (gcloud.compute.disks.describe) Could not fetch resource:\n - The resource 'projects/p/d' was not found"
)
HTTP_500 = (
    "ERROR: (gcloud.secrets.list) HttpError accessing <http://h/v1/secrets>: response: <{'status': 500}>, "
    'content <{"error": {"code": 500, "message": "it \\"broke\\" here", "errors": []}}>\n'
    "This may be due to network connectivity issues."
)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (QUOTA, Kind.QUOTA),
        ("QUOTA_EXCEEDED: limit", Kind.QUOTA),
        (STOCKOUT, Kind.STOCKOUT),
        ("code: ZONE_RESOURCE_POOL_EXHAUSTED", Kind.STOCKOUT),
        ("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS", Kind.STOCKOUT),
        ("state:STOCKOUT", Kind.STOCKOUT),
        ("A c4a VM instance is currently unavailable in the us-central1-a zone", Kind.STOCKOUT),
        (DISABLED, Kind.API_DISABLED),
        (FORBIDDEN, Kind.PERMISSION),
        ("googleapi: Error 403: forbidden", Kind.PERMISSION),
        (LOGIN, Kind.NOT_LOGGED_IN),
        ("google: could not find default credentials.", Kind.NOT_LOGGED_IN),
        (ABSENT, Kind.NOT_FOUND),
        (
            "NOT_FOUND: Secret [s] not found. This command is unauthenticated because the [x] property is True.",
            Kind.NOT_FOUND,
        ),
        ("ERROR: (gcloud.storage.buckets.describe) gs://b not found: 404.", Kind.NOT_FOUND),
        ("code: UNAUTHENTICATED", Kind.NOT_LOGGED_IN),
        ("Error 429: Quota exceeded for quota metric 'Writes' and limit 'Writes per minute' of", Kind.TOO_FAST),
        ("Error creating Network: context deadline exceeded", Kind.UNREACHABLE),
        ("Error 409: The resource 'x' already exists, alreadyExists", Kind.ALREADY_EXISTS),
        ("The network resource 'n' is already being used by 'f'", Kind.IN_USE),
        ("dial tcp: connection refused", Kind.UNREACHABLE),
        (HTTP_500, Kind.UNREACHABLE),
        ("Error 400: Invalid value for field 'resource.name'", Kind.INVALID),
        ("[pd-ssd, c4a-standard-4] features are not compatible for creating instance.", Kind.INVALID),
        ("something else entirely", Kind.OTHER),
        ("", Kind.OTHER),
    ],
)
def test_each_message_has_its_kind(text: str, kind: Kind) -> None:
    assert classify(text).kind is kind


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            QUOTA,
            "up: the project's quota is too small, got googleapi: Error 403: Quota 'C4A_CPUS' exceeded.  Limit: 8.0 in "
            "region us-central1., quotaExceeded. Ask for more C4A_CPUS in us-central1 (the limit is 8.0) at "
            "https://console.cloud.google.com/iam-admin/quotas, or take a smaller machine.",
        ),
        (
            DISABLED,
            "up: an API of Google's is off in the project, got Compute Engine API has not been used in project 123 "
            "before or it is disabled. Enable it by visiting https://console.developers.google.com/apis/api/"
            "compute.googleapis.com/overview?project=123 then retry. PERMISSION_DENIED. "
            "Run `gcloud services enable compute.googleapis.com` and wait a minute.",
        ),
        (
            FORBIDDEN,
            "up: the account may not do this, got Required 'compute.disks.list' permission for 'projects/p'. Have an "
            "owner of the project grant compute.disks.list to the account of `gcloud config get account`.",
        ),
        (
            LOGIN,
            "up: not logged in, got You do not currently have an active account selected. "
            "Run `gcloud auth login` and `gcloud auth application-default login`.",
        ),
    ],
)
def test_a_problem_says_where_what_and_the_next_step(text: str, problem: str) -> None:
    assert classify(text).problem("up") == problem


def test_a_stockout_never_sends_anybody_to_another_zone_without_the_data() -> None:
    step = classify(STOCKOUT).next_step
    assert step == (
        "Nothing is lost, and what was created stays. Run `fab up --stack NAME`, which tries the zones in the host's "
        "`zones:`; or take the host and its data to another zone than us-central1-a: `fab move --stack NAME --host "
        "HOST --zone ZONE` (`fab doctor --stack NAME` tells who has the machine). Or try again later."
    )
    assert "gcp:zone" not in step


NETWORK = (
    "Error waiting for Deleting Network: The network resource 'projects/p/global/networks/axion-dev-vpc' is already"
)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        (
            # hashicorp/terraform-provider-google #5423
            f"{NETWORK} being used by 'projects/p/global/firewalls/ssh'",
            "projects/p/global/firewalls/ssh uses it, and this stack did not make that. If nobody needs it: `gcloud "
            "compute firewall-rules delete ssh --project=p`, then run the same command again.",
        ),
        (
            # apollosolutions/build-a-supergraph #34
            f"{NETWORK} being used by 'projects/p/zones/us-east1-b/networkEndpointGroups/k8s1-ddb'",
            "projects/p/zones/us-east1-b/networkEndpointGroups/k8s1-ddb uses it, and this stack did not make that. If "
            "nobody needs it: `gcloud compute network-endpoint-groups delete k8s1-ddb --project=p --zone=us-east1-b`, "
            "then run the same command again.",
        ),
        (
            f"{NETWORK} being used by 'projects/p/global/somethingNew/x'",
            "projects/p/global/somethingNew/x uses it, and this stack did not make that. Have its owner remove it, "
            "then run it again.",
        ),
        (
            "The disk resource 'projects/p/zones/us-a1-a/disks/axion-dev-data-main' is already being used by "
            "'projects/p/zones/us-a1-a/instances/rescue'",
            "projects/p/zones/us-a1-a/instances/rescue uses it, and this stack did not make that. If nobody needs it: "
            "`gcloud compute instances detach-disk rescue --disk=axion-dev-data-main --project=p --zone=us-a1-a`, then "
            "run the same command again.",
        ),
        (
            f"{NETWORK} being used by 'projects/p/global/firewalls/axion-dev-allow-iap-ssh'",
            "Remove what uses it first: `fab census --stack NAME` prints the commands in their order.",
        ),
    ],
)
def test_what_uses_a_thing_is_named_and_only_what_is_foreign_has_an_owner(text: str, step: str) -> None:
    error = classify(text)
    assert (error.kind, error.next_step) == (Kind.IN_USE, step)


@pytest.mark.parametrize(
    ("text", "kind", "part"),
    [
        # hashicorp/terraform-provider-google #1211: the API's words, and the provider's
        ("Error 400: Invalid resource usage: 'Resource cannot be deleted if it's protected against deletion.'",
         Kind.DELETION_PROTECTED, "--no-deletion-protection"),
        ("Cannot delete instance axion-dev-main: instance Deletion Protection is enabled. Set deletion_protection to",
         Kind.DELETION_PROTECTED, "gcloud compute instances update axion-dev-main --no-deletion-protection"),
        ("Error 409: The bucket you tried to delete is not empty., conflict", Kind.NOT_EMPTY, "gs://BUCKET"),
        ("Error trying to delete bucket axion-dev-p containing objects without `force_destroy` set to true",
         Kind.NOT_EMPTY, "gs://axion-dev-p"),
        ("Error waiting for Creating Disk: timeout while waiting for state to become 'DONE' (last state: 'RUNNING')",
         Kind.UNREACHABLE, "fab recover --stack NAME"),
        ("Error 503: The service is currently unavailable., backendError", Kind.UNREACHABLE, "again"),
        ("Error 400: Invalid value for field 'resource.machineType': 'x'. Machine type with name 'c4a-standard-4' does "
         "not exist in zone 'us-east1-d'., invalid", Kind.NOT_OFFERED, "--filter=name=c4a-standard-4"),
        ("Error creating Budget: googleapi: Error 400: Request contains an invalid argument", Kind.INVALID, "currency"),
        ("Error 403: Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
         Kind.PERMISSION, "roles/iam.serviceAccountTokenCreator"),
        ("Error 403: The user does not have access to service account 'a@p.iam.gserviceaccount.com'.",
         Kind.PERMISSION, "have its owner grant roles/iam.serviceAccountUser on it"),
        ("Error 403: Required 'compute.subnetworks.use' permission for 'projects/h/regions/r/subnetworks/s', forbidden",
         Kind.PERMISSION, "roles/compute.networkUser"),
        ("Error 400: Invalid value for field 'x': 'y'. Cross-project references for this resource are not allowed.",
         Kind.PERMISSION, "Shared VPC"),
        ("Error 400: Cannot update the size of disk 'd': it can be changed once in 6 hours., badRequest",
         Kind.DISK_LIMIT, "wait"),
        # Google has the limit in "Modify a Hyperdisk"; the words are made up, for none are public.
        ("Error updating Disk: googleapi: Error 400: provisioned IOPS can be changed only once every 4 hours",
         Kind.DISK_LIMIT, "Nothing is lost: wait"),
        ("error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete",
         Kind.LOCKED, "fab recover --stack NAME"),
        ("error: getting secrets manager: passphrase must be set with PULUMI_CONFIG_PASSPHRASE or PULUMI_CONFIG",
         Kind.SECRETS, "PULUMI_CONFIG_PASSPHRASE"),
        ("oauth2: \"invalid_grant\" \"reauth related error (invalid_rapt)\"", Kind.NOT_LOGGED_IN, "gcloud auth login"),
    ],
)  # fmt: skip
def test_siblings_have_their_own_step(text: str, kind: Kind, part: str) -> None:
    error = classify(text)
    assert (error.kind, part in error.next_step) == (kind, True), error


def test_of_a_reply_for_programs_only_its_message_is_shown() -> None:
    assert classify(HTTP_500).line == 'it "broke" here'


def test_a_long_line_is_cut() -> None:
    line = classify("error: " + "x" * 1000).line
    assert (len(line), line[-3:]) == (300, "...")
