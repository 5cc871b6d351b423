"""Random lives of a stack, and one marker on its data disk: it must outlive everything but its own name typed.

A life is a sequence of what people and clouds do: settings changed, zones without a machine, runs killed, hosts
taken back, advice followed to the letter. The machine itself is played here: one that runs writes the marker on its
data disk where nothing is on it, as a first boot makes a file system. Real are the Pulumi CLI, gcloud and `fab`.

`python -m tests.support.data_sequences --lives 50 --steps 8` prints every step; pulumi/test_data.py runs a few.
"""

import argparse
import os
import random
import re
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.support.fakes.cloud.server import running
from tests.support.gcloud_on_cloud import fab, recovery_environment
from tests.support.marked_stack import DISK, Life
from tests.support.pulumi_stack import PulumiStack, find_cli
from tests.support.requirements.tools import GCLOUD, put_on_path

ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")
FOLLOWED = re.compile(r"`((?:fab|pulumi|gcloud) [^`]+)`")
PLACEHOLDERS = {"NAME": "dev", "S": "dev", "H": "main"}
SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "dataDiskGib": (40, 60, 100, 200),
    "dataDiskType": ("hyperdisk-balanced", "hyperdisk-extreme"),
    "dataDiskThroughput": (None, 200),
    "machineType": ("c4a-standard-8", "c4a-standard-16"),
    "zone": (None, *ZONES),
    "zones": (None, list(ZONES), [ZONES[1], ZONES[0]]),
    "bootDiskGib": (30, 40),
    "spot": (True, False),
}


def change_setting(life: Life) -> str:
    key = life.chance.choice(sorted(SETTINGS))
    value = life.chance.choice(SETTINGS[key])
    document = yaml.safe_load(life.stack.settings_file.read_text())
    host = document["config"]["axion:hosts"]["main"]
    host.pop(key, None)
    if value is not None:
        host[key] = value
    life.stack.config("hosts", {"main": host})
    return f"{key}: {value}"


def rename_host(life: Life) -> str:
    document = yaml.safe_load(life.stack.settings_file.read_text())
    ((name, host),) = document["config"]["axion:hosts"].items()
    new = "other" if name == "main" else "main"
    life.stack.config("hosts", {new: host})
    status = life.pulumi("up", "--yes", "--skip-preview")
    life.stack.config("hosts", {name: host})
    return f"host renamed to {new}, up exits {status}, and back"


def plain_up(life: Life) -> str:
    flags = life.chance.choice([(), ("--skip-preview",), ("--skip-preview", "--refresh")])
    return f"pulumi up {' '.join(flags)}: exit {life.pulumi('up', '--yes', *flags)}"


def fab_up(life: Life) -> str:
    return f"fab up: exit {life.fab('up', '--stack', 'dev', '--yes')}"


def move(life: Life) -> str:
    zone = life.chance.choice(ZONES)
    return f"fab move to {zone}: exit {life.fab('move', '--stack', 'dev', '--zone', zone, '--yes')}"


def run_out(life: Life) -> str:
    """Some zones have no machine until the next step of this kind."""
    zones = life.chance.sample(ZONES, life.chance.choice([0, 1, 1, 2]))
    life.cloud.state.settings.stockout_zones = set(zones)
    return f"out of stock: {', '.join(zones) or 'nowhere'}"


def kill_up(life: Life) -> str:
    """`pulumi up` ends half-way; a person then runs `fab recover`."""
    process = life.stack.start("up", "--yes", "--skip-preview", "--stack", "dev")
    time.sleep(life.chance.uniform(1.0, 4.0))
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    return f"killed; fab recover: exit {life.fab('recover', '--stack', 'dev', '--yes')}"


def kill_move(life: Life) -> str:
    """`fab move` ends half-way; the same command goes on, or another is run."""
    words = ("move", "--stack", "dev", "--zone", life.chance.choice(ZONES), "--yes")
    limit = life.chance.uniform(2.0, 12.0)
    environment = recovery_environment(life.stack)
    try:
        done = fab(*words, project=life.stack.folder, environment=environment, timeout_s=limit)
    except TimeoutError:
        return "unreachable"
    except Exception as error:
        assert type(error).__name__ == "TimeoutExpired", error
        life.said = ""
        return f"fab {' '.join(words)}: killed after {limit:.1f} s"
    life.said = done.stdout + done.stderr
    return f"fab {' '.join(words)}: exit {done.returncode}"


def preempt(life: Life) -> str:
    """Google takes the machine back."""
    for path, machine in life.cloud.state.under("projects/axion-test", "instances"):
        if machine["status"] == "RUNNING":
            machine["status"] = "TERMINATED"
            machine["lastStopTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%S.000-00:00", time.gmtime())
            return f"taken back: {path.rpartition('/')[2]}"
    return "nothing to take back"


def destroy(life: Life) -> str:
    flags = life.chance.choice([(), ("--skip-preview",), ("--exclude-protected",)])
    return f"pulumi destroy {' '.join(flags)}: exit {life.pulumi('destroy', '--yes', *flags)}"


def explain_and_follow(life: Life) -> str:
    """Do what the last message says, to the letter."""
    log = life.stack.folder / "up.log"
    log.write_text(life.said)
    if "Diagnostics:" in life.said:
        life.fab("explain", "--log", str(log))
    done = []
    for command in FOLLOWED.findall(life.said):
        words = [PLACEHOLDERS.get(word, word) for word in shlex.split(command)]
        words = [life.chance.choice(ZONES) if word in {"Z", "ZONE"} else word for word in words]
        if words[:2] == ["gcloud", "compute"] and "delete" in words and DISK in words:
            continue  # its name would be typed
        if words[0] == "fab" and words[1] in {"up", "move", "recover"}:
            words += [] if "--yes" in words else ["--yes"]
            done.append(f"{' '.join(words)}: exit {life.fab(*words[1:])}")
        elif words[0] == "pulumi" and words[1] in {"up", "refresh"}:
            done.append(f"{' '.join(words)}: exit {life.pulumi(words[1], '--yes', '--skip-preview')}")
    return f"advice followed: {'; '.join(done) or 'none'}"


STEPS: tuple[Callable[[Life], str], ...] = (
    change_setting, change_setting, change_setting, rename_host, plain_up, plain_up, fab_up, fab_up, move, run_out,
    kill_up, kill_move, preempt, destroy, explain_and_follow, explain_and_follow,
)  # fmt: skip


def live(seed: int, steps: int, cli: Path, base: Path, say: Callable[[str], None] = lambda line: None) -> list[str]:
    """One life. Raises AssertionError where the marker is lost; returns its steps."""
    with running() as cloud:
        stack = PulumiStack.of_checkout(base, cli, cloud, name="dev")
        life = Life(stack=stack, chance=random.Random(seed))  # noqa: S311 - no secret
        stack.up()
        life.check()
        for _ in range(steps):
            step = life.chance.choice(STEPS)(life)
            life.steps.append(step)
            say(f"  {step}")
            life.check()
        return life.steps


def main() -> int:
    """Live some lives; 1 when one of them lost its marker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lives", type=int, default=20)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    put_on_path(GCLOUD)
    cli = find_cli()
    assert cli is not None, "the Pulumi CLI is needed"
    lost = 0
    for seed in range(arguments.seed, arguments.seed + arguments.lives):
        with tempfile.TemporaryDirectory() as folder:
            print(f"life {seed}", flush=True)
            try:
                live(seed, arguments.steps, cli, Path(folder), lambda line: print(line, flush=True))
            except AssertionError as error:
                lost += 1
                print(f"LOST in life {seed}: {error}", flush=True)
    print(f"{arguments.lives} lives of {arguments.steps} steps, markers lost: {lost}")
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
