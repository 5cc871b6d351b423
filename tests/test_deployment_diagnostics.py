"""What `pulumi` printed, taken apart: literal output of the CLI 3.259."""

from deployment.diagnostics import explained, failures

OUTPUT = """Updating (prod):

 +  gcp:compute:Network network-vpc creating (3s) error: Error creating Network: context deadline exceeded
Diagnostics:
  gcp:compute:Network (network-vpc):
    error: Error creating Network: POST "https://x/networks": context deadline exceeded

  pulumi:pulumi:Stack (axion-prod):
    warning: using pulumi-resource-gcp from $PATH at /x
    error: update failed

  gcp:secretmanager:Secret (secrets-hub-token):
    error: Error creating Secret: googleapi: Error 403: Required 'secretmanager.secrets.create' permission for 'p'
    Details:
    [
      {
        "reason": "IAM_PERMISSION_DENIED"
      }
    ]
    , forbidden

Resources:
    11 unchanged
    2 errored
"""


def test_each_failed_resource_is_found_once_with_all_of_its_message() -> None:
    found = failures(OUTPUT)
    assert [(each.kind, each.name, each.error.kind) for each in found] == [
        ("gcp:compute:Network", "network-vpc", "UNREACHABLE"),
        ("gcp:secretmanager:Secret", "secrets-hub-token", "PERMISSION"),
    ]
    assert found[1].text.endswith(", forbidden")


def test_what_to_do_names_the_stack() -> None:
    first, second = explained(OUTPUT)
    assert first == (
        'Network network-vpc: Google did not answer, got Error creating Network: POST "https://x/networks": context '
        "deadline exceeded. It may have been created all the same: run `fab recover --stack prod`, which asks and "
        "imports it; then `pulumi up` again."
    )
    assert second.endswith(
        "Have an owner of the project grant secretmanager.secrets.create to the account of `gcloud config get account`."
    )


def test_a_run_that_went_well_has_no_failure() -> None:
    assert failures("Updating (dev):\n\nResources:\n    3 created\n") == ()
    assert explained("") == ()
