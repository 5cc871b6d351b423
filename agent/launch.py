"""Run one engine, answer for its whole process tree: python -m agent.launch --root R --release R/current --name N.

vLLM is a tree (API server, resource_tracker, EngineCore, Worker) whose members do not notice the death of the API
server, keep gigabytes and cores, and make the next start fail. Two processes of ours guard each other around it:

    runner (systemd, supervisord) -> guard -> keeper -> vllm serve -> EngineCore -> Worker

Both are subreapers, so an orphan of the tree falls to the keeper, and to the guard when the keeper is killed. Each asks
the kernel for a signal when its parent dies, and then kills everything below it. The keeper leads a session of its own,
so that a SIGKILL for the guard's process group (supervisord's last resort) leaves it alive to clean up. Nothing relies
on a marker except for one case, both killed at once: the next start, or --sweep, then finds the rest by the traces in
run/<name>.json. cgroups and PID namespaces would do it alone, but without root a user has neither.

The guard holds run/<name>.lock, shared with the keeper by fork: free means that neither lives. The first SIGTERM is
passed on so that the engine drains; a second one, or AXION_STOP_TIMEOUT_S (from the engine's .env), kills the tree.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from agent import notify, process_tree, stop_marker, watchdog
from agent.engine_unit import EngineUnit, LaunchError
from agent.leftovers import clear, log, sweep

STOP_SIGNALS = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
PARENT_DIED = signal.SIGUSR1
WATCHED = STOP_SIGNALS | {signal.SIGCHLD, PARENT_DIED}
GUARD_MARGIN_S = 5.0
"""The guard lets the keeper end the engine first and steps in only when the keeper hangs."""
TICK_S = 1.0
EX_TEMPFAIL = 75
SURVIVOR = "a process outlives SIGKILL. Look for one in state D: `ps -eo pid,stat,wchan,args`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What guard and keeper have in common: one child to wait for, one parent to outlive briefly."""

    child: int
    parent: int
    stop_timeout_s: float
    tick: Callable[[], None] | None = None
    on_stop: Callable[[], None] | None = None
    """Before the first stop is passed on."""


def supervise(watch: Watch) -> int:
    """Wait for the child, pass a stop on once, and return its wait status when nothing is left below this process."""
    statuses: dict[int, int] = {}
    deadline: float | None = None
    while process_tree.reap(statuses) and watch.child not in statuses:
        if os.getppid() != watch.parent or (deadline is not None and time.monotonic() >= deadline):
            break
        wait_s = 60.0 if deadline is None else max(0.0, deadline - time.monotonic())
        received = signal.sigtimedwait(WATCHED, TICK_S if watch.tick else wait_s)
        if received is not None and received.si_signo in STOP_SIGNALS:
            if deadline is not None:
                break
            deadline = time.monotonic() + watch.stop_timeout_s
            if watch.on_stop is not None:
                watch.on_stop()
            os.kill(watch.child, signal.SIGTERM)
        if watch.tick is not None and deadline is None:
            watch.tick()
    if not process_tree.kill_own_tree(statuses):
        log(SURVIVOR)
    return statuses.get(watch.child, signal.SIGKILL)


def exit_code(status: int) -> int:
    """Translate a wait status as a shell does: 128 + signal."""
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def exec_engine(unit: EngineUnit, parent: int) -> None:
    """Turn this freshly forked child into `vllm serve`; returns only when that fails."""
    os.setpgid(0, 0)
    # Blocked signals survive exec, and an engine that never sees SIGTERM cannot drain.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    if not process_tree.signal_on_parent_death(signal.SIGKILL, parent):
        return
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.chdir(unit.state)
    os.umask(0o077)  # the mode of its socket is the engine's only lock: --api-key leaves /metrics and others open
    os.execve(unit.vllm, unit.command, unit.environment)  # noqa: S606 - no shell is the point


def forked(run: Callable[[], int]) -> int:
    """Run a function in a child that can only exit; return the child's pid."""
    pid = os.fork()
    if pid:
        return pid
    code = 127
    try:
        code = run()
    except BaseException as error:  # a child that unwinds into its parent's code would run it twice
        log(f"{type(error).__name__}: {error}")
    finally:
        os._exit(code)


def keep(unit: EngineUnit, guard: int, go: int) -> int:
    """Run as the keeper: start the engine once the guard has recorded us, and end its tree whatever happens."""
    os.setsid()
    process_tree.adopt_orphans()
    if not process_tree.signal_on_parent_death(PARENT_DIED, guard) or os.read(go, 1) == b"":
        return 1
    keeper = os.getpid()

    def become_engine() -> int:
        exec_engine(unit, keeper)
        return 127

    engine = forked(become_engine)
    return exit_code(supervise(Watch(child=engine, parent=guard, stop_timeout_s=unit.stop_timeout_s)))


def guard(unit: EngineUnit, parent: int) -> int:
    """Run as the guard: hold the lock, clear what an earlier run left, start the keeper and outlive it."""
    process_tree.adopt_orphans()
    if not process_tree.signal_on_parent_death(PARENT_DIED, parent):
        return 1
    unit.prepare()
    held = unit.lock(until=lambda: signal.sigtimedwait(STOP_SIGNALS, 0) is not None or os.getppid() != parent)
    if held is None:
        return EX_TEMPFAIL
    if not clear(unit.root, unit.name):
        log(SURVIVOR)
    unit.remove_socket()
    me = os.getpid()
    go_read, go_write = os.pipe()

    def be_keeper() -> int:
        os.close(go_write)  # or the end of the guard would never read as the end of the pipe
        return keep(unit, me, go_read)

    keeper = forked(be_keeper)
    os.close(go_read)
    unit.write_record(session=keeper)
    os.write(go_write, b"g")
    tick = ticker(unit, me) if "NOTIFY_SOCKET" in os.environ else None
    log(f"{unit.name}: release {unit.release.name}, guard {me}, keeper {keeper}")
    watch = Watch(
        child=keeper,
        parent=parent,
        stop_timeout_s=unit.stop_timeout_s + GUARD_MARGIN_S,
        tick=tick,
        on_stop=lambda: stop_marker.announce(unit.socket),
    )
    code = exit_code(supervise(watch))
    unit.remove_socket()
    unit.remove_record()
    log(f"{unit.name}: engine ended with {code}, nothing is left of it")
    return code


def ticker(unit: EngineUnit, pid: int) -> Callable[[], None]:
    """What to do about once a second under systemd: announce the engine, then vouch for it."""
    readiness = notify.Readiness(address=unit.socket, load_timeout_s=unit.load_timeout_s)
    period_s = notify.watchdog_period_s(os.environ, pid)
    if period_s is not None:
        readiness.watch = watchdog.Watchdog(address=unit.socket, period_s=period_s).tick
    return readiness.tick


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and run; errors of the operator become one line, not a traceback."""
    parent = os.getppid()
    parser = argparse.ArgumentParser(prog="agent.launch", description="Run one engine and answer for its processes.")
    parser.add_argument("--root", type=Path, required=True, help="the host's directory")
    parser.add_argument("--release", type=Path, help="usually <root>/current; resolved once")
    parser.add_argument("--name", help="the served model")
    parser.add_argument("--sweep", action="store_true", help="only kill what dead launchers left behind")
    args = parser.parse_args(arguments)
    try:
        if args.sweep:
            return 0 if sweep(args.root.resolve()) else 1
        if args.release is None or args.name is None:
            parser.error("--release and --name are needed to run an engine")
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        return guard(EngineUnit.read(root=args.root, release=args.release, name=args.name), parent)
    except LaunchError as error:
        log(str(error))
        return 1


if __name__ == "__main__":
    sys.exit(main())
