"""Everything that the cloud can answer: importing this registers it."""

from tests.support.fakes.cloud import (
    addresses,
    buckets,
    callers,
    disk_changes,
    disks,
    identities,
    instance_changes,
    instances,
    networks,
    operations,
    org_policies,
    places,
    policies,
    policy_rules,
    roles,
    schedules,
    secrets,
    snapshots,
    watching,
)
from tests.support.fakes.cloud.call import ANSWERS, Call
from tests.support.fakes.cloud.documents import methods

__all__ = ["ANSWERS", "Call"]

_PARTS = (
    *(addresses, buckets, callers, disk_changes, disks, identities, instance_changes, instances, networks, operations),
    *(org_policies, places, policies, policy_rules, roles, schedules, secrets, snapshots, watching),
)
for _extra in set(ANSWERS) - set(methods()):
    del ANSWERS[_extra]  # collections register verbs that Google does not have for them
