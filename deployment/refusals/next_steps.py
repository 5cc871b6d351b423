"""The next step after a refusal, where it depends on what the message names. Pure.

`--stack NAME` and `--host HOST` are filled in by who knows them.
"""

import re

ZONE = r"[a-z]+-[a-z]+\d+-[a-z]"
QUOTAS_PAGE = "https://console.cloud.google.com/iam-admin/quotas"
MOVE = "`fab move --stack NAME --host HOST --zone ZONE`"
# How gcloud speaks of what a compute path names.
VERBS = {
    "firewalls": "compute firewall-rules delete", "instances": "compute instances delete",
    "routes": "compute routes delete", "routers": "compute routers delete", "addresses": "compute addresses delete",
    "subnetworks": "compute networks subnets delete", "forwardingRules": "compute forwarding-rules delete",
    "networkEndpointGroups": "compute network-endpoint-groups delete", "vpnGateways": "compute vpn-gateways delete",
}  # fmt: skip
# Google's service agents, which use the key on the project's behalf ("Cloud KMS: Service agents" and each product's
# page on customer-managed keys).
AGENTS = {
    "bucket": "gs-project-accounts.iam.gserviceaccount.com",
    "secret": "gcp-sa-secretmanager.iam.gserviceaccount.com",
    "disk": "compute-system.iam.gserviceaccount.com",
}


def found(pattern: str, text: str) -> str | None:
    """The first group that matched."""
    match = re.search(pattern, text)
    return next((group for group in match.groups() if group), None) if match else None


def quota(text: str) -> str:
    """Which quota to ask for, and where."""
    metric = found(r"Quota '([^']+)'|Quota limit '([^']+)'|quota metric '([^']+)'", text)
    region = found(r"in region ([a-z0-9-]+)", text)
    limit = found(r"Limit: ([0-9.]+)", text)
    what = f"more {metric}" if metric else "a higher quota"
    has = f" (the limit is {limit.rstrip('.')})" if limit else ""
    where = f" in {region}" if region else ""
    return f"Ask for {what}{where}{has} at {QUOTAS_PAGE}, or take {_less(metric or 'CPUS')}."


def _less(metric: str) -> str:
    """What needs less of it."""
    if "CPUS" in metric:
        return "a smaller machine"
    is_of_disks = re.search(r"^HD|DISK|SSD|IOPS|THROUGHPUT", metric, re.IGNORECASE)
    return "a smaller disk" if is_of_disks else "away what nobody uses"


def stockout(text: str) -> str:
    """Other zones, without ever leaving a disk's data behind: a zone in the stack's file alone would."""
    zone = found(rf"zones?/({ZONE})|\b({ZONE})\b", text)
    than = f" than {zone}" if zone else ""
    # Sometimes it names those that have the machine at this moment.
    free = found(rf"try(?:ing)? your request in the <?({ZONE}(?:, ?{ZONE})*)>? zone", text)
    tells = f"Google has it in {free} now" if free else "`fab doctor --stack NAME` tells who has the machine"
    move = MOVE.replace("ZONE", free.split(",")[0]) if free else MOVE
    return (
        "Nothing is lost, and what was created stays. Run `fab up --stack NAME`, which tries the zones in the host's "
        f"`zones:`; or take the host and its data to another zone{than}: {move} ({tells}). Or try again later."
    )


def permission(text: str) -> str:
    """Which permission is missing, and who needs it."""
    if "getAccessToken" in text:
        return "Have roles/iam.serviceAccountTokenCreator granted to you on the account that you impersonate."
    if re.search(r"iam\.serviceAccounts\.actAs|access to service account|SERVICE_ACCOUNT_ACCESS_DENIED", text):
        return "Check the account's address, and have its owner grant roles/iam.serviceAccountUser on it to you."
    if "compute.subnetworks.use" in text:
        return "Have the subnet's owner grant roles/compute.networkUser on it to you."
    if "Cross-project references" in text:
        return "Have the owner of the subnet's project attach this project to its Shared VPC."
    if re.search(r"Error creating Budget|billingAccounts/", text):
        return "Have an administrator of the billing account grant you roles/billing.costsManager on it."
    named = found(
        r"Required '([\w.]+)' permission|[Pp]ermission '?([\w.]+\.[\w.]+)'?|have ([\w.]+) access"
        r'|"permission": "([\w.]+)"',
        text,
    )
    what = named or "the permission that the message names"
    return f"Have an owner of the project grant {what} to the account of `gcloud config get account`."


def quota_project(text: str) -> str:
    """Both places that name the project: Google's credentials, and the provider's settings."""
    denied = found(r"permission to use project ([\w-]+)", text)
    if denied or "USER_PROJECT_DENIED" in text:
        project = denied or "that project"
        return f"Have roles/serviceusage.serviceUsageConsumer granted to you in {project}, or name another project."
    return (
        "Run `gcloud auth application-default set-quota-project PROJECT`, and for Pulumi `pulumi config set "
        "gcp:userProjectOverride true --stack NAME` and `pulumi config set gcp:billingProject PROJECT --stack NAME`."
    )


def key(text: str) -> str:
    """Who has to be granted the use of which key."""
    parts = re.search(r"projects/([\w:.-]+)/locations/([\w-]+)/keyRings/([\w-]+)/cryptoKeys/([\w-]+)", text)
    if "not enabled" in text:
        return "Enable the key's version again, or set `axion:kmsKey` to another key. Without it no data can be read."
    project, location, ring, name = parts.groups() if parts else ("PROJECT", "REGION", "RING", "KEY")
    what = "bucket" if re.search(r"[Bb]ucket|Cloud Storage", text) else "secret" if "ecret" in text else "disk"
    return (
        f"Let Google's service agent use it: `gcloud kms keys add-iam-policy-binding {name} --keyring={ring} "
        f"--location={location} --project={project} --role=roles/cloudkms.cryptoKeyEncrypterDecrypter "
        f"--member=serviceAccount:service-NUMBER@{AGENTS[what]}`, where NUMBER is that of the stack's project."
    )


def in_use(text: str) -> str:
    """Name the user; what is not this stack's is somebody's."""
    user = found(r"being used by '([^']+)'", text)
    parts = (user or "").split("/")
    if user is None or parts[-1].startswith("axion-"):
        return "Remove what uses it first: `fab census --stack NAME` prints the commands in their order."
    verb = VERBS.get(parts[-2] if len(parts) > 1 else "")
    if parts[-2:-1] == ["instances"] and "disk resource" in text:
        verb, parts = "compute instances detach-disk", [*parts[:-1], f"{parts[-1]} --disk={_disk(text)}"]
    if verb is None:
        return f"{user} uses it, and this stack did not make that. Have its owner remove it, then run it again."
    flags = f" --project={parts[1]}" if parts[0] == "projects" else ""
    for scope in ("zones", "regions"):
        if scope in parts:
            flags += f" --{scope[:-1]}={parts[parts.index(scope) + 1]}"
    return (
        f"{user} uses it, and this stack did not make that. If nobody needs it: `gcloud {verb} {parts[-1]}{flags}`, "
        "then run the same command again."
    )


def _disk(text: str) -> str:
    return (found(r"disk resource '([^']+)'", text) or "DISK").rpartition("/")[2]


def unreachable(text: str) -> str:
    """What was asked for may have happened."""
    if re.search(r"Error creating|Error waiting (?:to create|for (?:Creating|[\w ]+ to create))", text):
        return (
            "It may have been created all the same: run `fab recover --stack NAME`, which asks and imports it; then "
            "`pulumi up` again."
        )
    return "Check the network and run the same command again: it goes on where it stopped."


def invalid(text: str) -> str:
    """Google does not say which value of a budget it does not like; it is the currency, as a rule."""
    if "Error creating Budget" in text:
        return "A budget's currency must be its billing account's; correct `axion:budget`. Nothing was created."
    if re.search(r"provisioned (?:iops|throughput) cannot be", text, re.IGNORECASE):
        # hashicorp/terraform-provider-google #26315: the provider sends one after the other.
        return "Change `dataDiskIops` and `dataDiskThroughput` in two runs, 4 hours apart: each must fit the other."
    return "Correct the value that the message names; nothing was created by this call."
