"""Google's and Pulumi's own words, as people reported them: what each is taken for, and the next step.

The second line of each row is where the text was read: an issue's number (tpg is hashicorp/terraform-provider-google),
a page of Google's documentation, or the program that printed it here. Names of projects are replaced.
"""

import pytest

from deployment.refusals.cloud_errors import Kind, classify

ADC = "Your application is authenticating by using local Application Default Credentials."
REFUSALS = [
    # GoogleCloudPlatform/cloud-foundation-fabric #2622: reason SERVICE_DISABLED, and no API is off.
    (
        f"error: Error creating Budget: googleapi: Error 403: {ADC} The billingbudgets.googleapis.com API requires a "
        "quota project, which is not set by default. To learn how to set your quota project, see https://x/y .\n"
        'Details:\n[\n  {\n    "domain": "googleapis.com",\n    "reason": "SERVICE_DISABLED"\n  }\n]',
        Kind.QUOTA_PROJECT,
        "gcloud auth application-default set-quota-project PROJECT` "
        "pulumi config set gcp:userProjectOverride true --stack NAME` "
        "pulumi config set gcp:billingProject PROJECT --stack NAME`",
    ),
    # google-github-actions/get-gke-credentials #191
    (
        "ERROR: (gcloud.container.clusters.get-credentials) ResponseError: code=403, message=Caller does not have "
        "required permission to use project billing-1. Grant the caller the roles/serviceusage.serviceUsageConsumer "
        "role, or a custom role with the serviceusage.services.use permission",
        Kind.QUOTA_PROJECT,
        "roles/serviceusage.serviceUsageConsumer billing-1",
    ),
    # GoogleCloudPlatform/php-docs-samples #1235
    (
        "Error 403: This API method requires billing to be enabled. Please enable billing on project #105102389 by "
        "visiting https://console.developers.google.com/billing/enable?project=105102389 then retry. PERMISSION_DENIED",
        Kind.BILLING,
        "gcloud billing projects link 105102389 --billing-account=ACCOUNT` OPEN",
    ),
    # kyegomez/zeta #71
    (
        "ERROR: (gcloud.services.enable) FAILED_PRECONDITION: Billing account for project '522837608576' is not found. "
        "Billing must be enabled for activation of service(s) 'compute.googleapis.com' to proceed.\n"
        "- '@type': type.googleapis.com/google.rpc.ErrorInfo\n  reason: UREQ_PROJECT_BILLING_NOT_FOUND",
        Kind.BILLING,
        "gcloud billing projects link 522837608576 ",
    ),
    # GoogleCloudPlatform/java-docs-samples #276
    ("Error 403: Project my-project (#808448) has billing disabled. Please enable it.", Kind.BILLING, "my-project "),
    # gardener/gardener-extension-provider-gcp #415
    (
        "googleapi: Error 412: Constraint constraints/compute.vmExternalIpAccess violated for project 1234. Add "
        "instance projects/p/zones/z/instances/i to the constraint to use external IP with it., conditionNotMet",
        Kind.ORG_POLICY,
        "publicIp` gcloud org-policies describe compute.vmExternalIpAccess --effective",
    ),
    # fortinet/fortigate-terraform-deploy #34
    (
        "Error: Error creating instance: googleapi: Error 412: Constraint constraints/compute.requireShieldedVm "
        "violated for project projects/p. The boot disk's 'initialize_params.source_image' field specifies a "
        "non-Shielded image: projects/x/global/images/y.\nMore details:\nReason: conditionNotMet, Message: Constraint",
        Kind.ORG_POLICY,
        "axion:secureBoot: true` image` compute.requireShieldedVm",
    ),
    # Google: "Batch: Troubleshooting", Constraint violated for trusted images
    (
        "Instance VM_NAME creation failed: Constraint constraints/compute.trustedImageProjects violated for project p. "
        "Use of images from project batch-custom-image is prohibited.",
        Kind.ORG_POLICY,
        "image` compute.trustedImageProjects",
    ),
    # GoogleCloudPlatform/marketing-analytics-jumpstart #208
    (
        "Error: Error creating Secret: googleapi: Error 400: Constraint constraints/gcp.resourceLocations violated for "
        "[orgpolicy:projects/1234567890] attempting to create a secret in [global]",
        Kind.ORG_POLICY,
        "axion:secretRegions` gcp.resourceLocations",
    ),
    # Google: "Restricting resource locations", Example error message
    (
        "Error creating Disk: googleapi: Error 412: Location ZONE:us-central1-a violates constraint "
        "constraints/gcp.resourceLocations on the resource projects/p/zones/us-central1-a/disks/d., conditionNotMet",
        Kind.ORG_POLICY,
        "region that the policy allows",
    ),
    # GaloyMoney/galoy-infra #242, the form; the constraint's sibling
    (
        "ERROR: (gcloud.iam.service-accounts.create) FAILED_PRECONDITION: Service account creation is not allowed on "
        "this project.\n- '@type': type.googleapis.com/google.rpc.PreconditionFailure\n  violations:\n"
        "  - type: constraints/iam.disableServiceAccountCreation",
        Kind.ORG_POLICY,
        "serviceAccount` iam.disableServiceAccountCreation",
    ),
    # Google: "Restricting identities by domain", and "Creating and managing custom constraints"
    (
        "Error 400: One or more users named in the policy do not belong to a permitted customer, failedPrecondition",
        Kind.ORG_POLICY,
        "iam.allowedPolicyMemberDomains",
    ),
    (
        "Operation denied by custom org policies: [customConstraints/custom.onlyN4a : no other machines]",
        Kind.ORG_POLICY,
        "gcloud org-policies describe-custom-constraint custom.onlyN4a",
    ),
    # cloudquery/cloudquery #1062, the body as it comes
    (
        '{\n "error": {\n  "code": 403,\n  "message": "Request is prohibited by organization\'s policy. '
        'vpcServiceControlsUniqueIdentifier: eYhDkfYCu-dOC",\n  "status": "PERMISSION_DENIED",\n  "details": [\n   {\n'
        '    "violations": [ { "type": "VPC_SERVICE_CONTROLS" } ] } ] } }',
        Kind.PERIMETER,
        "identifier eYhDkfYCu-dOC perimeter",
    ),
    # percona/mongo_terraform_ansible #24
    (
        "Error: googleapi: Error 409: The requested bucket name is not available. The bucket namespace is shared by "
        "all users of the system. Please select a different name and try again., conflict",
        Kind.NAME_TAKEN,
        "axion:bucket: false`",
    ),
    # terraform-google-modules/terraform-google-cloud-storage #238
    (
        "Error: googleapi: Error 409: Your previous request to create the named bucket succeeded and you already own "
        "it., conflict",
        Kind.ALREADY_EXISTS,
        "fab recover --stack NAME` gcloud storage buckets list`",
    ),
    # DataBiosphere/leonardo #737
    (
        '409 Conflict\n{\n  "code" : 409,\n  "errors" : [ {\n    "message" : "There were concurrent policy changes. '
        'Please retry the whole read-modify-write with exponential backoff.",\n    "reason" : "aborted"\n  } ] }',
        Kind.CONCURRENT,
        "Run the same command again",
    ),
    # The provider's transport/error_retry_predicates.go
    ("Error 412: Supplied fingerprint does not match current metadata fingerprint.", Kind.CONCURRENT, "again"),
    ("Error 409: operationInProgress", Kind.CONCURRENT, "again"),
    ("Error 412: At least one of the pre-conditions you specified did not hold., conditionNotMet", Kind.CONCURRENT, ""),
    # terraform-google-modules/terraform-google-network #365
    (
        "Error: Error creating Router: googleapi: Error 400: The resource 'projects/p/global/networks/n' is not ready, "
        "resourceNotReady",
        Kind.NOT_YET,
        "wait a minute",
    ),
    # GoogleCloudPlatform/data-migration-tool #58
    (
        'Error applying IAM policy for storage bucket "b/x": Error setting IAM policy: googleapi: Error 400: Service '
        "account a@p.iam.gserviceaccount.com does not exist., invalid",
        Kind.NOT_YET,
        "again",
    ),
    # tpg #10227
    (
        "Error: Error reading service account after creation: googleapi: Error 403: Permission iam.serviceAccounts.get "
        "is required to perform this operation on service account projects/p/serviceAccounts/s., forbidden",
        Kind.NOT_YET,
        "again",
    ),
    # GoogleCloudPlatform/k8s-config-connector #279
    (
        "googleapi: Error 400: Inconsistent representation of deleted member: 'deleted:serviceAccount:a@p.iam."
        "gserviceaccount.com?uid=10499' and 'serviceAccount:a@p.iam.gserviceaccount.com', badRequest",
        Kind.ACCOUNT_DELETED,
        "deleted:serviceAccount:a@p.iam.gserviceaccount.com?uid=10499 fab census --stack NAME`",
    ),
    # DataBiosphere/azul #4390
    (
        "Error: Error creating the custom project role projects/p/roles/axion_dev_stop: googleapi: Error 400: You "
        "can't create a role_id (axion_dev_stop) which has been marked for deletion., failedPrecondition",
        Kind.ROLE_DELETED,
        "gcloud iam roles undelete axion_dev_stop fab recover --stack NAME` day 37",
    ),
    # tpg #5103
    (
        "Error creating Disk: googleapi: Error 400: Cloud KMS error when using key projects/keys-1/locations/"
        "us-central1/keyRings/ring/cryptoKeys/disks: Permission 'cloudkms.cryptoKeyVersions.useToEncrypt' denied",
        Kind.KEY,
        "add-iam-policy-binding disks --keyring=ring --location=us-central1 --project=keys-1 "
        "roles/cloudkms.cryptoKeyEncrypterDecrypter service-NUMBER@compute-system.iam",
    ),
    # ollionorg/gcp-landing-zone #59
    (
        "Error: googleapi: Error 403: Permission denied on Cloud KMS key. Please ensure that your Cloud Storage "
        "service account has been authorized to use this key., forbidden",
        Kind.KEY,
        "service-NUMBER@gs-project-accounts.iam",
    ),
    # kubernetes/k8s.io #9834: gcloud's YAML, folded, with the zones that have the machine
    (
        "ERROR: (gcloud.compute.instances.create) Could not fetch resource:\n---\ncode: "
        "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS\nerrorDetails:\n- localizedMessage:\n    message: A c4a-standard-8-"
        "lssd VM instance with 2 local SSD(s) is\n      currently unavailable in the us-central1-b zone. Consider "
        "trying your request\n      in the us-central1-a, us-central1-f zone(s), which currently has capacity",
        Kind.STOCKOUT,
        "fab up --stack NAME` than us-central1-b: fab move --host HOST --zone us-central1-a` us-central1-f",
    ),
    ("A n2-standard-16 VM instance with 2 local SSD(s) is currently unavailable", Kind.STOCKOUT, "fab move"),
    # The provider's error_retry_predicates.go, is403QuotaExceededPerMinuteError; a real quota is none of a minute.
    (
        "Error 403: Quota exceeded for quota metric 'Queries' and limit 'Queries per minute' of service "
        "'compute.googleapis.com' for consumer 'project_number:1'., rateLimitExceeded",
        Kind.TOO_FAST,
        "wait a minute",
    ),
    ("Error 403: Rate Limit Exceeded, rateLimitExceeded", Kind.TOO_FAST, "wait"),
    ("Error 429: Quota exceeded for quota metric 'Budgets' and limit 'Budgets per day' of", Kind.QUOTA, "more Budgets"),
]


@pytest.mark.parametrize(("text", "kind", "parts"), REFUSALS)
def test_a_reported_refusal_is_its_own_kind_with_its_own_step(text: str, kind: Kind, parts: str) -> None:
    """In whatever form it comes: as it is, in colour, wrapped by a terminal, and after a warning."""
    wrapped = "\n    ".join(text.replace("\n", " \n ").split(" "))
    for form in (text, f"\x1b[31m{text}\x1b[0m", f"warning: a new version of Pulumi is available\n{text}", wrapped):
        error = classify(form)
        assert error.kind is kind, form
        assert [part for part in parts.split(" ") if part not in error.next_step] == []


def test_no_next_step_loses_data() -> None:
    """A zone in the stack's file leaves the disk's data where it was; `state unprotect` takes its only guard."""
    steps = [classify(text).next_step for text, _, _ in REFUSALS]
    assert [step for step in steps if "gcp:zone" in step or "unprotect" in step] == []


def test_a_reported_refusal_is_shown_by_its_sentence() -> None:
    shown = {kind: classify(text).line for text, kind, _ in reversed(REFUSALS)}
    assert shown[Kind.PERIMETER] == (
        "Request is prohibited by organization's policy. vpcServiceControlsUniqueIdentifier: eYhDkfYCu-dOC"
    )
    assert shown[Kind.QUOTA_PROJECT].startswith(f"Error creating Budget: googleapi: Error 403: {ADC} The billingbudg")
    assert shown[Kind.CONCURRENT].startswith("There were concurrent policy changes. Please retry")
