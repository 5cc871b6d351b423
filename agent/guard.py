"""Run one command, and send what it prints in frames: whatever else prints into this output is told from it.

Input: a tag, seconds, then the command. Output: `TAG out N` or `TAG err N` on a line, each with N bytes of the
command's after it; at last `TAG end STATUS`, 124 when its time was over. A frame is one write of at most PIPE_BUF
bytes, so no other writer to the same pipe gets between (pipe(7)).

The command ends, with all that it started, when its time is over; one that may run for more than a minute also when
nobody is left who reads its output. A lost connection tells a command nothing until it writes: without this, what was
interrupted would go on beside what comes next.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import time

OVER_TIME, CANNOT_START = 124, 127
PAYLOAD_BYTES = 4000  # PIPE_BUF is 4096, the line before it takes less than 60
KEPT_S = 60.0
"""Whoever takes over after a lost connection waits for this long: what is shorter ends by itself."""
QUIET_S = 1.0
"""Output that a daemon holds open after the command's end is over when nothing came for this long."""
OUTPUT = 1


class Guard:
    """One command and its bound."""

    def __init__(self, tag: str, bound_s: float) -> None:
        self.tag, self.bound_s, self.is_heard = tag, bound_s, True

    def tell(self, word: str, count: int, data: bytes = b"") -> None:
        frame = f"{self.tag} {word} {count}\n".encode() + data
        while frame and self.is_heard:
            try:
                frame = frame[os.write(OUTPUT, frame) :]
            except BlockingIOError:
                select.select([], [OUTPUT], [])
            except OSError:  # the reader is gone
                self.is_heard = False

    def run(self, argv: "list[str]") -> int:
        ended, signalled = os.pipe()
        os.set_blocking(signalled, False)
        signal.set_wakeup_fd(signalled)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        try:
            process = subprocess.Popen(
                argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, start_new_session=True
            )
        except OSError as error:
            said = f"cannot start: {error}\n".encode(errors="replace")[:PAYLOAD_BYTES]
            self.tell("err", len(said), said)
            return CANNOT_START
        if not self.relay(process, ended):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
            return OVER_TIME
        status = process.wait(10)
        return status if status >= 0 else 128 - status

    def relay(self, process: "subprocess.Popen[bytes]", ended: int) -> bool:
        """Pass on what it prints until it has ended; `ended` is readable when a child has. False: it has to end."""
        assert process.stdout and process.stderr, "both are pipes"
        pipes = {process.stdout.fileno(): "out", process.stderr.fileno(): "err"}
        watch = select.poll()
        for number in (*pipes, ended):
            watch.register(number, select.POLLIN)
        watch.register(OUTPUT, 0)  # a broken pipe is reported without being asked for
        deadline = time.monotonic() + self.bound_s
        while pipes or process.poll() is None:
            is_over, left_s = process.poll() is not None, deadline - time.monotonic()
            if left_s <= 0:
                return is_over
            ready = {number for number, _ in watch.poll(1000 * (QUIET_S if is_over else left_s))}
            if is_over and not ready & pipes.keys():
                return True
            if ended in ready:
                os.read(ended, 64)
            for number in ready & pipes.keys():
                self._pass_on(number, pipes, watch)
            if OUTPUT in ready:
                self.is_heard = False
                watch.unregister(OUTPUT)
            if not self.is_heard and self.bound_s > KEPT_S and process.poll() is None:
                return False
        return True

    def _pass_on(self, number: int, pipes: "dict[int, str]", watch: select.poll) -> None:
        data = os.read(number, PAYLOAD_BYTES)
        if data:
            self.tell(pipes[number], len(data), data)
        else:
            del pipes[number]
            watch.unregister(number)


if __name__ == "__main__":
    guard = Guard(sys.argv[1], float(sys.argv[2]))
    ending = guard.run(sys.argv[3:])
    guard.tell("end", ending)
    sys.exit(ending)
