"""What a refusal of Google's means, from messages as gcloud, the provider and the API write them."""

import pytest

from deployment.cloud_errors import Kind, classify

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
        ("Error 429: Quota exceeded for quota metric 'Writes' and limit 'Writes per minute' of service", Kind.QUOTA),
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


def test_a_stockout_names_the_zone_to_avoid_and_that_nothing_is_lost() -> None:
    step = classify(STOCKOUT).next_step
    assert step.startswith("Choose another zone than us-central1-a or shape")
    assert step.endswith("what was created stays, and `pulumi up` goes on from there.")


def test_of_a_reply_for_programs_only_its_message_is_shown() -> None:
    assert classify(HTTP_500).line == 'it "broke" here'


def test_a_long_line_is_cut() -> None:
    line = classify("error: " + "x" * 1000).line
    assert (len(line), line[-3:]) == (300, "...")
