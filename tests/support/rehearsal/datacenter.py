"""The machines behind the small cloud: an instance that it says runs is a host that boots, runs and ends."""

import shutil
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.fakes.cloud.server import Cloud
from tests.support.fakes.cloud.state import now, path_of
from tests.support.rehearsal.disks import Disk
from tests.support.rehearsal.guest import Guest, Image
from tests.support.rehearsal.metadata import Metadata

Json = dict[str, Any]
CONNECT_S = 10.0


class Datacenter:
    """One guest for each instance, and a file for each disk. See `tests.support.fakes.cloud.machines` for the verbs."""

    def __init__(self, cloud: Cloud, folder: Path, image: Image) -> None:
        self.cloud, self.folder, self.image = cloud, folder, image
        self.guests: dict[str, Guest] = {}
        self._running: dict[str, threading.Thread] = {}
        self.problems: list[str] = []
        """What went wrong in here; a host that does not come up is explained by it."""

    def power_on(self, path: str, instance: Json) -> None:
        guest = self._guest(path, instance)
        self.guests[path] = guest
        thread = threading.Thread(target=self._run, args=(path, guest), name=guest.name, daemon=True)
        self._running[path] = thread
        thread.start()

    def power_off(self, path: str) -> Callable[[], bool]:
        thread = self._running.get(path)
        if thread is not None and thread.is_alive():
            self.guests[path].power_off()
        return lambda: thread is None or not thread.is_alive()

    def reset(self, path: str) -> None:
        if path in self.guests:
            self.guests[path].reset()

    def copied(self, source: str, target: str) -> None:
        self._disk(source).copy_to(self._disk(target))

    def removed(self, path: str) -> None:
        if path in self.guests:
            self.guests.pop(path).remove()
            self._running.pop(path)
        if path.split("/")[-2] in ("disks", "snapshots"):
            self._disk(path).remove()

    def connect(self, path: str, port: int) -> socket.socket:
        """Connect to a server of an instance's machine. Raises OSError where nobody listens."""
        guest = self.guests.get(path)
        if guest is None:
            raise ConnectionRefusedError(f"{path} has no machine")
        return guest.network.connect(port, CONNECT_S)

    def close(self) -> None:
        """Cut all power and leave nothing. Idempotent."""
        threads = list(self._running.values())
        for guest in self.guests.values():
            guest.power_off()
            guest.cut()
        for thread in threads:
            thread.join(timeout=30)
        for path in list(self.guests):
            self.removed(path)
        for file in self._disks.glob("*.img"):
            Disk(file).remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _disks(self) -> Path:
        return self.folder / "disks"

    def _disk(self, path: str) -> Disk:
        # Disks of one name may be in two zones.
        return Disk(self._disks / f"{'-'.join(path.split('/')[-3:])}.img")

    def _guest(self, path: str, instance: Json) -> Guest:
        attached = {
            one["deviceName"]: (self._disk(path_of(one["source"])), int(one["diskSizeGb"]))
            for one in instance["disks"]
            if not one["boot"] and "source" in one
        }
        return Guest(self.folder / instance["name"], self.image, Metadata(self.cloud, path), attached)

    def _run(self, path: str, guest: Guest) -> None:
        try:
            guest.run_until_off()
        except Exception as error:
            self.problems.append(f"{guest.name}: {error!r}")
            print(f"{guest.name}: its machine broke: {error!r}", file=sys.stderr)
        with self.cloud.state.lock:
            instance = self.cloud.state.resources.get(path)
            # One that was told to stop is the operation's business; this one ended by itself.
            if instance is not None and instance["status"] == "RUNNING" and self.guests.get(path) is guest:
                instance.update(status="TERMINATED", lastStopTimestamp=now())
