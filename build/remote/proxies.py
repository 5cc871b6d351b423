"""This computer's proxies. Those of a host are its own: /etc/environment there."""

import os

from agent import proxies
from build.check import Check
from build.errors import DeployError
from build.remote.target import Target


def download_problems(target: Target) -> list[str]:
    """Say why nothing can be downloaded onto a target, as far as this computer knows."""
    return proxies.problems(os.environ) if target.is_here else []


def refuse_useless(target: Target) -> None:
    """Raise DeployError before the first download that would fail; a library's traceback says less."""
    if found := download_problems(target):
        raise DeployError(*found)


def checks() -> list[Check]:
    """What the doctor says of them; nothing where there are none."""
    if found := proxies.problems(os.environ):
        return [Check("proxies", "fail", each) for each in found]
    used = [name for each in proxies.NAMES for name in proxies.settings(os.environ, each)]
    finding = f"downloads honour {', '.join(used)}; this computer itself is asked without"
    return [Check("proxies", "pass", finding)] if used else []


def without_proxy() -> str:
    """What curl has to be told to ask this computer itself. The shell has no NO_PROXY of ours."""
    return " --noproxy '*'" if any(proxies.settings(os.environ, name) for name in proxies.NAMES) else ""


def keep_direct() -> None:
    """Have no client, of this process or of one that it starts, ask this computer through a proxy."""
    proxies.keep_direct(os.environ)
