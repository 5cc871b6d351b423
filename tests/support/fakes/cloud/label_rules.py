"""Labels: how many, and of which characters, wherever a body has them.

At most 64; keys and values of at most 63 characters and 128 bytes, of lower-case letters of any script, digits, `_` and
`-`; keys begin with a letter ("Labels overview"; Secret Manager's and Monitoring's discovery documents). Compute's
sentence for a value: cloudtik #14, google-cloud-node-core #276; for a key and for too many of them by analogy (NV).

A key that begins with `goog` is taken: Google's own provider for Pulumi labels what it makes `goog-pulumi-provisioned`
by ordinary requests.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from tests.support.fakes.cloud.call import Call
from tests.support.fakes.cloud.errors import ApiError, invalid_field

Json = dict[str, Any]
MOST, CHARACTERS, BYTES = 64, 63, 128
LETTERS, DIGITS = ("Ll", "Lo"), ("Nd", "Nl", "No")
WORDS = "contain only lowercase letters, numeric characters, underscores and dashes."
LENGTH = "can be at most 63 characters long. International characters are allowed."


def _fits(text: str) -> bool:
    is_short = len(text) <= CHARACTERS and len(text.encode()) <= BYTES
    return is_short and all(one in "_-" or unicodedata.category(one) in (*LETTERS, *DIGITS) for one in text)


def _begins_with_letter(key: str) -> bool:
    return bool(key) and unicodedata.category(key[0]) in LETTERS


def _labels(body: Json, method_id: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping of labels in a body, with its field."""
    if not method_id.startswith("monitoring."):  # there `labels` say where a channel leads
        yield "resource.labels", body.get("labels") or {}
    yield "resource.userLabels", body.get("userLabels") or {}
    for index, disk in enumerate(body.get("disks") or ()):
        where = f"resource.disks[{index}].initializeParams.labels"
        yield where, (disk.get("initializeParams") or {}).get("labels") or {}
    policy = body.get("snapshotSchedulePolicy") or {}
    yield "resource.snapshotSchedulePolicy.labels", (policy.get("snapshotProperties") or {}).get("labels") or {}


def check_labels(call: Call) -> None:
    """Refuse labels that Google refuses."""
    for field, labels in _labels(call.body, call.method.id):
        if len(labels) > MOST:
            raise _refused(call, field, f"There can be at most {MOST} labels, got {len(labels)}.")
        for key, value in labels.items():
            if not (_begins_with_letter(key) and _fits(key)):
                must = f"The key must start with a lowercase character, can only {WORDS} The key {LENGTH}"
                raise _refused(call, field, f"Label key '{key}' violates format constraints. {must}")
            if value is not None and not _fits(value):
                must = f"The value can only {WORDS} The value {LENGTH}"
                raise _refused(call, field, f"Label value '{value}' violates format constraints. {must}")


def _refused(call: Call, field: str, why: str) -> ApiError:
    if call.method.service == "compute.googleapis.com":
        return invalid_field(field, "", why)
    return ApiError(400, "badRequest", why)
