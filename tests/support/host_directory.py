"""A directory here that an inventory may name as its host's: pytest's own lie where services would not see them."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from deployment.stack.host_root import host_root

PARENTS = (Path("/srv"), Path("/var/lib"), Path(__file__).parents[2] / "out")


@contextmanager
def host_directory() -> Iterator[Path]:
    """An empty one for the length of a block; a test is left out where this user may make none."""
    for parent in PARENTS:
        with suppress(OSError, ValueError):
            made = Path(tempfile.mkdtemp(prefix="axion-test-", dir=parent))
            try:
                yield Path(host_root(str(made)))
                return
            finally:
                shutil.rmtree(made)
    pytest.skip(f"no directory for a host here: none of {', '.join(map(str, PARENTS))} to write to")
