"""The package index of this machine inside a host: pip there installs from where pip here does."""

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

PLACES = ("index-url", "extra-index-url", "find-links", "cert", "trusted-host")


def pip_settings() -> dict[str, str]:
    """What pip is told here about where packages are; the caller's environment counts most, as for pip."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    found: dict[str, str] = {}
    for scope in ("global.", ":env:."):
        for line in listed.stdout.splitlines():
            key, _, value = line.removeprefix(scope).partition("=")
            if line.startswith(scope) and key in PLACES:
                found[key] = value.strip("'\"").replace("\\n", " ")
    return found


def pip_conf(settings: dict[str, str]) -> str:
    return "".join(["[global]\n", *(f"{key} = {value}\n" for key, value in settings.items())])


def pip_binds(settings: dict[str, str]) -> tuple[Path, ...]:
    """Directories and files of this machine that the settings name."""
    words = [word for value in settings.values() for word in value.split()]
    paths = (Path(unquote(urlsplit(word).path)) for word in words if re.match(r"/|file:", word))
    # An index is two directories beside each other: the pages link to the files.
    wanted = (path.parent if path.name == "simple" else path for path in paths)
    return tuple(path for path in dict.fromkeys(wanted) if path.exists())
