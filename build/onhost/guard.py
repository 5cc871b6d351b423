"""Run one command, and end it with all that it started when its time is over or nobody is left who reads its output.

Input: seconds, then the command. A lost connection tells a command nothing until it writes: without this, what was
interrupted would go on beside what comes next. Exit status as the command's; 124 when its time was over.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

OVER_TIME, CANNOT_START = 124, 127


def wait(process: "subprocess.Popen[bytes]", ended: int, bound_s: float) -> int:
    """Wait for the command; `ended` becomes readable when a child has ended. Nothing outlives this."""
    watch = select.poll()
    watch.register(ended, select.POLLIN)
    for stream in (1, 2):
        watch.register(stream, 0)  # broken pipes are reported without being asked for
    deadline = time.monotonic() + bound_s
    while process.poll() is None:
        left_s = deadline - time.monotonic()
        # A request for POLLIN at `ended` alone is no reason to stop; a reader of our output that went away is.
        is_unheard = any(stream != ended for stream, _ in watch.poll(max(left_s, 0) * 1000))
        if (is_unheard or left_s <= 0) and process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            return OVER_TIME
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def main() -> int:
    ended, signalled = os.pipe()
    os.set_blocking(signalled, False)
    signal.set_wakeup_fd(signalled)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    try:
        process = subprocess.Popen(sys.argv[2:], start_new_session=True)
    except OSError as error:
        print(f"cannot start, got {error}", file=sys.stderr)
        return CANNOT_START
    return wait(process, ended, float(sys.argv[1]))


if __name__ == "__main__":
    sys.exit(main())
