"""What an organisation's policy forbids, by its constraint, and the stack's setting that lives with it.

Constraints and what each refuses: Google's "Organization policy constraints" reference. One that is not here is named
all the same.
"""

import re

NAME = re.compile(r"\b((?:custom)?constraints)/([a-z]+\.\w+)|[Cc]onstraint '?([a-z]+\.\w+)", re.IGNORECASE)
# Refusals that say what was refused, and not by which constraint.
UNNAMED = {
    "do not belong to a permitted customer": "iam.allowedPolicyMemberDomains",
    "Service account creation is not allowed": "iam.disableServiceAccountCreation",
    "Key creation is not allowed": "iam.disableServiceAccountKeyCreation",
}
INSTEAD = {
    "compute.vmExternalIpAccess": "Take `publicIp` out of the host: `fab` reaches it through IAP without an address",
    "compute.requireShieldedVm": "Set `axion:secureBoot: true`, and an `image` that allows it (Google's own do)",
    "compute.trustedImageProjects": "Give the host an `image` from a project that the policy allows",
    "compute.disableGuestAttributesAccess": (
        "Hosts publish their SSH keys in guest attributes, so have the project exempted; or write an inventory with "
        "`known_hosts` yourself"
    ),
    "compute.requireOsLogin": "Hosts use OS Login; look for metadata that somebody added to the project",
    "compute.restrictCloudNATUsage": "Give `axion:network` a `subnetwork` that exists, with a way out of its own",
    "compute.restrictSharedVpcSubnetworks": "Give `axion:network` a `subnetwork` that the policy allows",
    "compute.requireVpcFlowLogs": "Set `flowLogs: true` in `axion:network`",
    "compute.storageResourceUseRestrictions": "Have the project allowed to use its own disks and snapshots",
    "iam.disableServiceAccountCreation": "Give each host a `serviceAccount` that exists",
    "iam.allowedPolicyMemberDomains": "Have the members' domain allowed, or give hosts a `serviceAccount` of it",
    "gcp.restrictNonCmekServices": "Set `axion:kmsKey`",
    "gcp.restrictCmekCryptoKeyProjects": "Set `axion:kmsKey` to a key of a project that the policy allows",
    "gcp.restrictServiceUsage": "Have the API that the message names allowed for the project",
}
SECRETS = "Set `axion:secretRegions` to regions that the policy allows: secrets are everywhere by default"
# A stack that has data moves with `fab move`, and within a region: it is never told to change its zone here.
PLACES = "Make the stack in a region that the policy allows"


def org_policy(text: str) -> str:
    """Name the constraint, and the setting to use instead."""
    kind, name = _constraint(text)
    if name is None:
        return "Ask who runs the organisation for an exception, or change the setting that it forbids."
    if name == "gcp.resourceLocations":
        instead = SECRETS if re.search(r"\bsecrets?\b", text, re.IGNORECASE) else PLACES
    else:
        instead = INSTEAD.get(name, "Change the setting that it forbids")
    if kind == "customconstraints":
        look = f"`gcloud org-policies describe-custom-constraint {name} --organization=NUMBER`"
    else:
        look = f"`gcloud org-policies describe {name} --effective --project=PROJECT`"
    return f"{instead}; or ask for an exception from {name} ({look} tells what it allows)."


def _constraint(text: str) -> tuple[str, str | None]:
    match = NAME.search(text)
    if match:
        return (match[1] or "constraints").lower(), match[2] or match[3]
    return "constraints", next((name for words, name in UNNAMED.items() if words in text), None)
