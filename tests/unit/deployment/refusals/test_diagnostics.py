"""What `pulumi` printed, taken apart: literal output of the CLI 3.259."""

from deployment.refusals.diagnostics import explained, failures

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
    assert [(each.kind, each.name, each.error.kind.name) for each in found] == [
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


DISK = "urn:pulumi:prod::axion::axion:infra:ModelStore$gcp:compute/disk:Disk::models-data-main"
REPLACED = f"""  gcp:compute:Disk (models-data-main):
    error: unable to replace resource "{DISK}"
    as it is currently marked for protection. To unprotect the resource, remove the `protect` flag from the resource in
"""
DELETED = f"""  gcp:compute:Disk (models-data-main):
    error: resource "{DISK}" cannot be deleted
    because it is protected. To unprotect the resource, either remove the `protect` flag from the resource in your \
Pulumi program and run `pulumi up`, or use the command:
    `pulumi state unprotect '{DISK}'`
"""
NOT_THAT_WAY = "Do not run `pulumi state unprotect`: the next change would delete it."


def test_a_change_that_would_delete_a_data_disk_is_told_how_to_keep_the_data() -> None:
    (line,) = explained(f"Updating (prod):\n\nDiagnostics:\n{REPLACED}\nResources:\n    1 errored\n")
    assert line == (
        f'Disk models-data-main: it holds data, and Pulumi may not delete it, got unable to replace resource "{DISK}" '
        "as it is currently marked for protection. This change would delete the data disk axion-prod-data-main and all "
        "that is on it. Undo it in the stack's file (the host's zone, its data disk's type or size, or the host). To "
        "change the zone and keep the data: `fab move --stack prod --host main --zone ZONE`. To lose it, name it: "
        f"`axion:deleteData: [axion-prod-data-main]`. {NOT_THAT_WAY}"
    )


def test_a_destroy_is_told_what_stays_and_how_to_lose_it_if_that_is_meant() -> None:
    bucket = DELETED.replace("compute/disk:Disk::models-data-main", "storage/bucket:Bucket::models-bucket")
    bucket = bucket.replace("compute:Disk (models-data-main)", "storage:Bucket (models-bucket)")
    first, second = explained(f"Previewing destroy (prod):\n\nDiagnostics:\n{DELETED}\n{bucket}\nResources:\n")
    assert first.endswith(
        "axion-prod-data-main stays, with all that is on it. To remove everything else: `pulumi destroy --stack prod "
        "--exclude-protected`. To lose it too, first name it, `axion:deleteData: [axion-prod-data-main]`, and run "
        "`pulumi up --stack prod --target '**::models-data-main'`. " + NOT_THAT_WAY
    )
    assert "The bucket axion-prod-PROJECT stays" in second
    assert "--target '**::models-bucket'" in second


def test_failures_of_the_update_are_found_behind_its_preview_and_in_colour() -> None:
    preview = "Previewing update (prod):\n\nDiagnostics:\n  pulumi:pulumi:Stack (axion-prod):\n    warning: x\n\n"
    failed = f"{preview}Resources:\n    1 to create\n\n{OUTPUT}"
    coloured = failed.replace("Diagnostics:", "\x1b[38;5;13mDiagnostics:\x1b[0m").replace(
        "    error:", "    \x1b[31merror:"
    )
    assert [each.name for each in failures(coloured.replace("\n", "\r\n"))] == ["network-vpc", "secrets-hub-token"]


def test_what_has_no_diagnostics_is_explained_by_its_errors() -> None:
    """A Pulumi that does not begin, and gcloud."""
    locked = "error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete"
    assert explained(f"\x1b[31m{locked}\n  file:///s/.pulumi/locks/x.json: created by me@here (pid 7)\n") == (
        "pulumi: another run holds the stack, or was killed, got the stack is currently locked by 1 lock(s). Either "
        "wait for the other process(es) to end or delete. If nobody is running Pulumi on it, run `fab recover --stack "
        "NAME`; it says who holds the lock.",
    )
    (said,) = explained("WARNING: x\nERROR: (gcloud.compute.disks.list) Could not fetch resource:\n - state:STOCKOUT\n")
    assert said.startswith("gcloud: Google has no such machine free there, got state:STOCKOUT. Nothing is lost")


def test_a_host_s_stock_out_names_the_host() -> None:
    text = OUTPUT.replace("gcp:compute:Network (network-vpc)", "gcp:compute:Instance (host-main-instance)").replace(
        "context deadline exceeded\n\n", "state:STOCKOUT\n\n"
    )
    assert "`fab move --stack prod --host main --zone ZONE`" in explained(text)[0]


def test_mistakes_in_the_stacks_file_are_told_one_by_one_and_whole() -> None:
    long = f"Pulumi.dev.yaml:9 config.axion:hosts.main.zone: wrong, got {'x' * 400}. Correct it."
    short = "Pulumi.dev.yaml:3 config.gcp:project: missing. Give a project's id."
    output = f"Updating (dev):\n\nDiagnostics:\n  pulumi:pulumi:Stack (axion-dev):\n    error: {long}\n    {short}\n\n"
    assert explained(output) == (long, short)
