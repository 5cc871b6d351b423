"""Hosts of our own to try things on: python -m tests.support.machines up|down|list."""

import argparse
import contextlib
import json
import shlex
import sys
import time

from build.errors import DeployError
from tests.support.arm.host import arm_programs_run
from tests.support.machines.machine import HOSTS, Machine
from tests.support.machines.standin import standin_layers
from tests.support.web import free_port


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.support.machines", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="boot a host, a new one in place of one of that name")
    up.add_argument("name")
    up.add_argument("--arch", choices=("amd64", "arm64"), default="amd64")
    up.add_argument("--port", type=int, default=0, help="of its sshd (default: a free one)")
    up.add_argument("--stand-in", action="store_true", help="with an engine environment that has a stand-in for vLLM")
    verbs.add_parser("down", help="end a host and remove all of it").add_argument("name")
    verbs.add_parser("list", help="show the hosts that there are")
    given = parser.parse_args()
    try:
        {"up": _up, "down": _down, "list": _list}[given.verb](given)
    except (DeployError, KeyboardInterrupt) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _up(given: argparse.Namespace) -> None:
    layers = standin_layers(given.arch) if given.stand_in else ()
    machine = Machine(given.name, port=given.port or free_port(), architecture=given.arch, layers=layers)
    is_arm = given.arch == "arm64"
    with arm_programs_run() if is_arm else contextlib.nullcontext():
        began = time.monotonic()
        machine.create()
        machine.boot(is_detached=True)
        print(f"{machine.name}: booted after {time.monotonic() - began:.1f} s")
        print(f"  fab build-and-deploy --inventory {machine.inventory()}")
        print(f"  {shlex.join(machine.access.command())}")
        if is_arm:  # the kernel starts its programs only while this one runs
            try:
                print("  Ctrl-C ends it", flush=True)
                while machine.nspawn:
                    time.sleep(1)
            finally:
                machine.remove()


def _down(given: argparse.Namespace) -> None:
    Machine(given.name, port=0).remove()


def _list(_given: argparse.Namespace) -> None:
    for path in sorted(HOSTS.glob("*/inventory.json")):
        name = path.parent.name
        (host,) = json.loads(path.read_text())["hosts"].values()
        print(name, "on" if Machine(name, port=0).nspawn else "off", host["ssh_port"], path)


if __name__ == "__main__":
    sys.exit(main())
