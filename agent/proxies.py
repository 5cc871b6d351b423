"""What the environment says of proxies: for downloads, and never for what runs on the machine itself.

Each client reads the variables its own way: some the lower case only, some SOCKS only with a library that is not
there, and none but Go's leaves loopback alone. So what they find is made the same for all, once, before any is asked.
"""

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from urllib.parse import urlsplit

NAMES = ("http_proxy", "https_proxy", "all_proxy")
# Google's metadata server is the machine's own as well.
DIRECT = ("localhost", "127.0.0.1", "::1", "metadata.google.internal", "169.254.169.254")
OF_HOST = Path("/etc/environment")
ADVICE = "Give an HTTP proxy such as http://proxy.example:3128, or unset it."


def keep_direct(environment: "MutableMapping[str, str]") -> None:
    """Have nothing of the machine's own asked through a proxy, in either spelling of the variable."""
    if not any(settings(environment, name) for name in NAMES):
        return
    if settings(environment, "http_proxy") and settings(environment, "https_proxy"):
        # Desktops set a SOCKS one beside both: nobody asks it, and httpx ends when it only reads of it.
        for spelling in ("all_proxy", "ALL_PROXY"):
            environment.pop(spelling, None)
    given = [environment.get(name, "") for name in ("no_proxy", "NO_PROXY")]
    words = dict.fromkeys(word.strip() for text in given for word in text.split(",") if word.strip())
    told = "*" if "*" in words else ",".join(dict.fromkeys((*words, *DIRECT)))
    environment.update(no_proxy=told, NO_PROXY=told)


def problems(environment: "Mapping[str, str]") -> "list[str]":
    """Say of each variable why pip and the hub's client cannot download through it."""
    found = {spelling: value for name in NAMES for spelling, value in settings(environment, name).items()}
    return [f"{name}: {what}" for name, value in found.items() for what in wrong(value)]


def wrong(value: str) -> "Iterator[str]":
    """Report what is wrong with one address. Its user and password are told to nobody."""
    shown = re.sub(r"//[^/]*@", "//***@", value)
    try:
        parts = urlsplit(value if "://" in value else f"http://{value}")
        is_address = bool(parts.hostname) and parts.port != 0 and not re.search(r"\s", value)
    except ValueError:
        parts, is_address = urlsplit(""), False
    if parts.scheme.startswith("socks"):
        yield f"downloads cannot go through SOCKS, got {shown}. {ADVICE}"
    elif not is_address or parts.scheme not in ("http", "https"):
        yield f"not a proxy's address, got {shown}. {ADVICE}"


def settings(environment: "Mapping[str, str]", name: str) -> "dict[str, str]":
    """What one variable says, by the spelling that says it: the lower case counts where both do."""
    for spelling in (name, name.upper()):
        if environment.get(spelling, "").strip():
            return {spelling: environment[spelling].strip()}
    return {}


def of_host(file: Path = OF_HOST) -> "dict[str, str]":
    """The variables of this machine's /etc/environment, which a unit of systemd's is not given otherwise."""
    try:
        text = file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pattern = r"""^\s*(?:export\s+)?((?:https?|all|no)_proxy)\s*=\s*(["']?)(.*?)\2\s*$"""
    return {name: value for name, _, value in re.findall(pattern, text, re.MULTILINE | re.IGNORECASE)}


def settle(file: Path = OF_HOST) -> None:
    """Give this process, and all that it starts, the machine's proxies where it has none of its own."""
    os.environ.update({name: value for name, value in of_host(file).items() if name not in os.environ})
    keep_direct(os.environ)
