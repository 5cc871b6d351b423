"""What instances borrow from others: subnets of a host project (Shared VPC), and accounts that the caller did not make.

The caller owns the stack's project unless the settings say otherwise, and has no rights anywhere else but by a grant.
"""

from typing import Any

from tests.support.fakes.cloud.call import Call
from tests.support.fakes.cloud.encryption import is_granted
from tests.support.fakes.cloud.errors import ApiError, invalid_field, permission_denied
from tests.support.fakes.cloud.state import State

Json = dict[str, Any]
CALLER = "user:someone@example.com"
NETWORK_USER, ACCOUNT_USER = "roles/compute.networkUser", "roles/iam.serviceAccountUser"
ACCOUNTS = ".iam.gserviceaccount.com"


def grant(state: State, path: str, role: str, member: str = CALLER) -> None:
    """Give a role on something that others have."""
    policy = state.policies.setdefault(path, {"version": 1, "bindings": []})
    policy["bindings"].append({"role": role, "members": [member]})


def check_shared(call: Call, path: str, field: str) -> None:
    """Whether an instance of this project may stand in a subnet: it is its own, or the host project lets it.

    "Provisioning Shared VPC": a service project is attached to its host project, and whoever makes instances is Network
    User of the subnet or of the whole host project. The words are those of Dataflow's "Troubleshoot networking" and of
    issue 4961 of Terraform's Google provider. A subnet that is not there cannot be told from one that may not be used.
    """
    owner = path.split("/")[1]
    if owner == call.project:
        return
    if owner not in call.state.settings.host_projects:
        raise invalid_field(field, path, "Cross-project references for this resource are not allowed.")
    if not any(is_granted(call.state, where, NETWORK_USER, CALLER) for where in (path, f"projects/{owner}")):
        raise permission_denied("compute.subnetworks.use", path)


def check_accounts(call: Call, accounts: list[Json]) -> None:
    """Whether the caller may let an instance be somebody.

    "Attaching service accounts to resources": it takes iam.serviceAccounts.actAs on the account, wherever that is; one
    that is not there is answered alike. The words are gcloud's, as in many public logs.
    """
    for account in accounts:
        email = account.get("email", "default")
        if not email.endswith(ACCOUNTS):
            continue  # Google's own default accounts, which every project has
        owner = email.partition("@")[2].removesuffix(ACCOUNTS)
        path = f"projects/{owner}/serviceAccounts/{email}"
        owned = owner == call.project and call.state.settings.caller_is_owner
        if path not in call.state.resources or not (owned or is_granted(call.state, path, ACCOUNT_USER, CALLER)):
            caller = CALLER.removeprefix("user:")
            advice = "Ask a project owner to grant you the iam.serviceAccountUser role on the service account"
            message = f"The user does not have access to service account '{email}'.  User: '{caller}'.  {advice}"
            raise ApiError(400, "SERVICE_ACCOUNT_ACCESS_DENIED", message)
