"""What Google looks at before a method does anything: billing, quota project, permissions, labels, policies."""

from tests.support.fakes.cloud.call import Call
from tests.support.fakes.cloud.callers import check_permissions, check_quota_project
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.label_rules import check_labels
from tests.support.fakes.cloud.org_policies import check_policies

BILLED = frozenset({"compute.googleapis.com", "secretmanager.googleapis.com"})


def check_billing(call: Call) -> None:
    """Without billing an API that costs answers nothing (php-docs-samples #1235), Storage makes no bucket.

    Storage's sentence: swiss-ai-center/a-guide-to-mlops #102.
    """
    settings = call.state.settings
    if settings.billing_enabled:
        return
    if call.method.id == "storage.buckets.insert":
        message = "The billing account for the owning project is disabled in state absent"
        raise ApiError(403, "accountDisabled", message)
    if call.method.service not in BILLED:
        return
    link = f"https://console.developers.google.com/billing/enable?project={settings.number}"
    message = (
        f"This API method requires billing to be enabled. Please enable billing on project #{settings.number} by "
        f"visiting {link} then retry. If you enabled billing for this project recently, wait a few minutes for the "
        "action to propagate to our systems and retry."
    )
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "BILLING_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": call.method.service, "consumer": f"projects/{settings.number}"},
    }
    help_link = {"description": "Google developers console billing", "url": link}
    links = {"@type": "type.googleapis.com/google.rpc.Help", "links": [help_link]}
    raise ApiError(403, "forbidden", message, details=[links, info])


GATES = (check_billing, check_quota_project, check_permissions, check_labels, check_policies)


def check(call: Call) -> None:
    """Refuse what is not let through."""
    for gate in GATES:
        gate(call)
