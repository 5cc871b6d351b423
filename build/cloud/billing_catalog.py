"""Read Google's price list. gcloud has no command for it in all its versions; the interface takes gcloud's token.

Cloud Billing Catalog, services.skus.list: at most 5,000 SKUs a page. The API must be on in the project that is named.
"""

import json
import os
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from build.cloud.gcloud import Gcloud, GcloudError, gcloud_command
from build.errors import DeployError
from deployment.errors import why
from deployment.refusals.cloud_errors import classify

ENDPOINT = "https://cloudbilling.googleapis.com/"
# gcloud's own way to lead an API elsewhere; a local endpoint is for tests and drills.
OVERRIDE = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBILLING"
COMPUTE_ENGINE = "6F81-5844-456A"
PAGE_SIZE, MAX_PAGES = 5000, 40
PAGE_TIMEOUT_S = 60.0
WHAT = "read the price list"


def compute_skus(gcloud: Gcloud) -> list[Any]:
    """Every SKU of Compute Engine. Raises DeployError saying what to do next."""
    token, page = _token(gcloud), ""
    found: list[Any] = []
    for _ in range(MAX_PAGES):
        answer = _page(gcloud.project, token, page)
        found += answer.get("skus") or []
        page = str(answer.get("nextPageToken") or "")
        if not page:
            return found
    raise DeployError(f"price list: no end, got {MAX_PAGES} pages. Run it again; nothing was written.")


def _token(gcloud: Gcloud) -> str:
    command = gcloud_command("ask for an access token", ("auth", "print-access-token"), None, PAGE_TIMEOUT_S)
    result = gcloud.executor.run(command)
    if not result.succeeded:
        raise GcloudError(command.what, classify(result.stderr or result.stdout))
    answer = result.stdout.strip()
    # With --format=json newer versions answer with an object, older ones with a string.
    try:
        parsed = json.loads(answer)
    except ValueError:
        return answer
    return str(parsed.get("token", "")) if isinstance(parsed, dict) else str(parsed)


def _page(project: str, token: str, page: str) -> Any:
    asked = {"pageSize": PAGE_SIZE, "currencyCode": "USD", **({"pageToken": page} if page else {})}
    query = urllib.parse.urlencode(asked)
    base = os.environ.get(OVERRIDE) or ENDPOINT
    address = f"{base.rstrip('/')}/v1/services/{COMPUTE_ENGINE}/skus?{query}"
    headers = {"Authorization": f"Bearer {token}", "X-Goog-User-Project": project}
    request = urllib.request.Request(address, headers=headers)  # noqa: S310 - Google's address, or the user's own
    try:
        with urllib.request.urlopen(request, timeout=PAGE_TIMEOUT_S) as answer:  # noqa: S310 - likewise
            parsed = json.load(answer)
    except urllib.error.HTTPError as error:
        raise GcloudError(WHAT, classify(error.read().decode(errors="replace"))) from None
    except (OSError, ValueError) as error:
        raise DeployError(f"price list: not read: {why(error)}. Run it again; nothing was written.") from None
    if not isinstance(parsed, dict):
        raise DeployError("price list: half an answer. Run it again; nothing was written.")
    return parsed
