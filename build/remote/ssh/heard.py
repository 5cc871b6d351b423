"""What a server says while somebody connects, which is why it then does not let them in."""

import ast
import itertools
import logging
import re

import paramiko


class Heard(logging.Handler):
    """What a server says last to a person: in place of its version, during the login, or when it hangs up.

    Paramiko keeps nothing of it, but logs it.
    """

    numbers = itertools.count()
    said = re.compile(r"(?:Auth banner|Banner|Disconnect \(code \d+\)): (.+)", re.DOTALL)

    def __init__(self) -> None:
        super().__init__()
        self.name, self.words = f"paramiko.transport.{next(self.numbers)}", ""
        self._logger = logging.getLogger(self.name)

    def __enter__(self) -> "Heard":
        self._logger.addHandler(self)
        self._logger.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(logging.WARNING)
        self._logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        found = self.said.match(record.getMessage())
        text = found[1] if found else ""
        if text.startswith(("b'", 'b"')):  # a banner is logged as the bytes that it is
            text = ast.literal_eval(text).decode("utf-8", "replace")
        if lines := [line.strip() for line in text.splitlines() if line.strip()]:
            self.words = lines[-1][:160].rstrip(".")


def hangs_up(error: BaseException) -> bool:
    """Whether somebody took the connection and ended it before saying what it is; silence is another thing."""
    cause = error.__context__
    return (
        isinstance(error, paramiko.SSHException)
        and str(error).startswith("Error reading SSH protocol banner")
        and isinstance(cause, (EOFError, OSError))
        and not isinstance(cause, TimeoutError)
    )
