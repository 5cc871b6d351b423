"""Who calls matters, with the real CLI: impersonation, quota project, billing, IAM that comes late or is contended."""

from pathlib import Path

from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack

ANN = "ann@example.com"
DEPLOYER = "deployer@axion-test.iam.gserviceaccount.com"
ACCOUNT = """
from pulumi_gcp import projects, serviceaccount

account = serviceaccount.Account("account", account_id="axion-dev-main")
projects.IAMMember("logs", project="axion-test", role="roles/logging.logWriter", member=account.member)
"""
BUDGET = """
from pulumi_gcp import billing

amount = billing.BudgetAmountArgs(specified_amount=billing.BudgetAmountSpecifiedAmountArgs(units="10"))
billing.Budget("budget", billing_account="012345-6789AB-CDEF01", display_name="axion", amount=amount)
"""
DISK = """
from pulumi_gcp import compute

compute.Disk("disk", name="data", size=50, type="hyperdisk-balanced")
"""


def test_a_service_account_is_acted_as_by_who_may_and_by_nobody_else(
    tmp_path: Path, pulumi_cli: Path, cloud: Cloud
) -> None:
    settings = cloud.state.settings
    settings.services.add("iamcredentials.googleapis.com")
    settings.tokens["anns-token"] = ANN
    path = f"projects/axion-test/serviceAccounts/{DEPLOYER}"
    cloud.state.add(path, {"name": path, "email": DEPLOYER, "uniqueId": "1", "projectId": "axion-test"})
    settings.holds = {ANN: set()}
    stack = PulumiStack.create(tmp_path, pulumi_cli, cloud, ACCOUNT)
    stack.more_environment |= {"GOOGLE_OAUTH_ACCESS_TOKEN": "anns-token"}
    assert "Required 'iam.serviceAccounts.create' permission for 'projects/axion-test'" in stack.up(check=False).said
    stack.more_environment |= {"GOOGLE_IMPERSONATE_SERVICE_ACCOUNT": DEPLOYER}
    refused = stack.up(check=False).said
    assert "impersonate: status code 403: " in refused
    assert "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist)." in refused
    creator = {"role": "roles/iam.serviceAccountTokenCreator", "members": [f"user:{ANN}"]}
    cloud.state.policies[path] = {"version": 1, "bindings": [creator]}
    stack.up()


def test_iam_that_learns_late_of_an_account_refuses_it_and_takes_it_in_the_next_run(
    tmp_path: Path, pulumi_cli: Path, cloud: Cloud
) -> None:
    cloud.state.settings.iam_delay_s = 600.0
    stack = PulumiStack.create(tmp_path, pulumi_cli, cloud, ACCOUNT)
    email = "axion-dev-main@axion-test.iam.gserviceaccount.com"
    refused = stack.up(check=False)
    assert f"googleapi: Error 400: Service account {email} does not exist., badRequest" in refused.said
    cloud.state.settings.iam_delay_s = 0.0
    cloud.plant(method=r"cloudresourcemanager\.projects\.setIamPolicy", kind="concurrent", nth=1)
    stack.up()
    assert [one["status"] for one in cloud.requests if one["method"].endswith("projects.setIamPolicy")] == [
        400,
        409,
        200,
    ]
    stack.destroy()
    cloud.plant(method=r"cloudresourcemanager\.projects\.setIamPolicy", kind="concurrent", nth=0)
    said = "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."
    assert f"googleapi: Error 409: {said}, aborted" in stack.up(check=False).said


def test_a_persons_budget_needs_a_project_to_count_on(tmp_path: Path, pulumi_cli: Path, cloud: Cloud) -> None:
    cloud.state.settings.caller = ANN
    stack = PulumiStack.create(tmp_path, pulumi_cli, cloud, BUDGET)
    refused = stack.up(check=False).said
    assert "The billingbudgets.googleapis.com API requires a quota project, which is not set by default." in refused
    assert '"consumer": "projects/764086051850"' in refused
    stack.config("gcp:userProjectOverride", "true").config("gcp:billingProject", "axion-test").up()


def test_without_billing_nothing_is_made(tmp_path: Path, pulumi_cli: Path, cloud: Cloud) -> None:
    cloud.state.settings.billing_enabled = False
    stack = PulumiStack.create(tmp_path, pulumi_cli, cloud, DISK)
    refused = stack.up(check=False).said
    assert "googleapi: Error 403: This API method requires billing to be enabled. Please enable billing" in refused
    assert '"reason": "BILLING_DISABLED"' in refused
    cloud.state.settings.billing_enabled = True
    stack.up()
