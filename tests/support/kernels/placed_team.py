"""Runs where libaxion_cores.so and libgomp are preloaded: does what a line on stdin says, and tells where threads sit.

{"use": CORES, "own": N, "owner": STATE} places them, where all borrowed cores have an owner in that state.
{"region": THREADS} runs a parallel region, 0 for the usual number; {"elsewhere": THREADS} on another thread. Any other
line is answered with the cores that guests are entered for.
"""

import ctypes
import json
import os
import sys
import threading
from typing import Any

HOME = (0,)
libraries = ctypes.CDLL(None)
guests, owner = (ctypes.c_uint64 * 64)(), ctypes.c_uint64(2)
BODY = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def region(threads: int) -> list[Any]:
    """Each thread's core and scheduling policy, by its number in the team."""
    found: dict[int, Any] = {}

    def body(_: Any) -> None:
        found[libraries.omp_get_thread_num()] = [sorted(os.sched_getaffinity(0)), os.sched_getscheduler(0)]

    kept = BODY(body)
    libraries.GOMP_parallel(kept, None, threads, 0)
    return [found[number] for number in sorted(found)]


def use(cores: list[int], own: int) -> None:
    owners = [ctypes.addressof(owner)] * (len(cores) - own)
    ctypes.memset(guests, 0, ctypes.sizeof(guests))
    libraries.axion_use_cores(
        (ctypes.c_int * len(cores))(*cores), ctypes.c_size_t(len(cores)), ctypes.c_size_t(own),
        (ctypes.c_int * len(HOME))(*HOME), ctypes.c_size_t(len(HOME)), guests, (ctypes.c_void_p * len(owners))(*owners),
    )  # fmt: skip


def answer(asked: dict[str, Any]) -> Any:
    if "owner" in asked:
        libraries.axion_announce(ctypes.byref(owner), ctypes.c_uint64(asked["owner"]))
    if "use" in asked:
        use(asked["use"], asked["own"])
    if "elsewhere" in asked:  # a thread that was never asked to lead
        found: list[Any] = []
        other = threading.Thread(target=lambda: found.append(region(asked["elsewhere"])))
        other.start()
        other.join()
        return found[0]
    return region(asked["region"]) if "region" in asked else [word & 0xFFFFFFFF for word in guests if word]


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
