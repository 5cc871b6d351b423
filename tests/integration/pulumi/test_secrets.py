"""Planted secrets, looked for everywhere a value could have gone: only Secret Manager may have them."""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from tests.support.gcloud_on_cloud import fab
from tests.support.pulumi_stack import PulumiStack
from tests.support.standing_stack import StandingStack

KEYS = ("planted-key-Zq71+one/a", "planted-key-Zq72+two/b")
NEW_KEY, TOKEN = "planted-key-Zq73+three/c", "hf_plantedTokenZq74"
SECRETS = (*KEYS, NEW_KEY, TOKEN)
OWN = {
    "axion-prod-gateway-api-keys": ["\n".join(KEYS), NEW_KEY],
    "axion-prod-hub-token": [TOKEN],
}


def spellings(secret: str) -> Iterator[bytes]:
    """The value itself and as it may be disguised: in a URL, in JSON, in base64 wherever it begins."""
    plain = secret.encode()
    yield from (plain, quote(secret, safe="").encode(), json.dumps(secret)[1:-1].encode())
    for offset, skip in ((0, 0), (1, 2), (2, 3)):
        # Its first and last characters depend on what stands beside it.
        whole = (offset + len(plain)) // 3 * 4
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            yield encode(b"\0" * offset + plain)[skip:whole]


def found_in(places: Mapping[str, bytes]) -> list[str]:
    wanted = {secret: set(spellings(secret)) for secret in SECRETS}
    return [
        f"{secret} in {place}"
        for place, content in places.items()
        for secret, forms in wanted.items()
        if any(form in content for form in forms)
    ]


def said_by_every_command(stack: PulumiStack) -> dict[str, bytes]:
    """A stack's life with secrets, and all that its commands print."""
    said = {"preview": stack.preview("--diff").said, "up": stack.up("--diff").said}
    stack.config("axion:gatewayApiKeys", NEW_KEY, is_secret=True)
    said["preview as JSON"] = stack.preview("--json").said
    said["up with another key"] = stack.up("--show-replacement-steps", "--show-reads").said
    said["refresh"] = stack.refresh("--diff").said
    for words in (("stack", "output", "--json"), ("stack", "export"), ("config", "--json"), ("stack", "history")):
        said[" ".join(words)] = stack.run(*words).said
    done = fab("cost", "--stack", "prod", "--json", project=stack.folder, environment=stack.environment)
    assert done.returncode == 0, done.stderr
    said["fab cost"] = done.stdout + done.stderr
    return {command: text.encode() for command, text in said.items()}


def files(base: Path) -> dict[str, bytes]:
    """State with its history and backups, Pulumi's home with its logs, the stack's file and what was rendered."""
    found = [path for folder in ("state", "home", "program") for path in (base / folder).rglob("*")]
    return {str(path.relative_to(base)): path.read_bytes() for path in found if path.is_file()}


def test_the_search_finds_what_is_there() -> None:
    for disguised in (KEYS[0].encode(), base64.b64encode(b"k=" + KEYS[0].encode() + b";"), quote(TOKEN).encode()):
        assert len(found_in({"place": b"before " + disguised + b" after"})) == 1
    assert found_in({"place": b"planted-key-Zq7"}) == []


def test_no_secret_is_anywhere_but_in_its_own_secret(standing_prod: StandingStack) -> None:
    prod = standing_prod.put_back()
    prod.config("axion:gatewayApiKeys", "\n".join(KEYS), is_secret=True)
    prod.config("axion:hubToken", TOKEN, is_secret=True)
    prod.config("alerts", {"email": "me@example.com"})
    prod.config("budget", {"monthlyAmount": 900, "billingAccount": "012345-6789AB-CDEF01"})
    places = said_by_every_command(prod)
    places |= files(standing_prod.base)
    assert {"state/.pulumi/stacks/axion/prod.json", "program/Pulumi.prod.yaml"} <= set(places)

    payloads: dict[str, list[str]] = {}
    for number, request in enumerate(prod.cloud.requests):
        method, body, answer = request["method"].rpartition(".")[2], request["body"], request["answer"]
        if method == "addVersion":
            payload = base64.b64decode(body.pop("payload")["data"]).decode()
            payloads.setdefault(request["path"].rpartition("/")[2].partition(":")[0], []).append(payload)
        if method == "access":
            answer = {**answer, "payload": None}
        places[f"request {number} {request['path']}"] = json.dumps([request["path"], body, answer]).encode()
    places["everything that the cloud shows"] = json.dumps(prod.cloud.state.snapshot()).encode()

    assert payloads == OWN
    assert found_in(places) == []
    script = {item["key"] for one in metadata(prod) for item in one}
    assert {"startup-script", "enable-oslogin"} <= script


def metadata(stack: PulumiStack) -> list[list[dict[str, str]]]:
    """What instances can read of themselves: the search above has been through it."""
    resources = stack.cloud.state.resources
    return [one["metadata"]["items"] for path, one in resources.items() if "/instances/" in path]
