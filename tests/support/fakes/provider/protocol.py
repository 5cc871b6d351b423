"""Pulumi's generated protocol modules, loaded without the SDK around them.

`import pulumi` runs the whole SDK, 0.4 s in each process; the CLI starts this provider for every operation.
"""

import importlib.util
import sys
import types


def _shell(name: str, folder: str) -> None:
    """A package that has a folder but runs nothing."""
    package = types.ModuleType(name)
    package.__path__ = [folder]
    sys.modules[name] = package


if "pulumi" not in sys.modules:
    _found = importlib.util.find_spec("pulumi")
    assert _found is not None and _found.submodule_search_locations, (
        "pulumi: not installed, got none. Run `make setup`."
    )
    _shell("pulumi", _found.submodule_search_locations[0])
    _shell("pulumi.runtime", f"{_found.submodule_search_locations[0]}/runtime")

from pulumi.runtime.proto import (  # noqa: E402, the shells come first
    plugin_pb2,
    provider_pb2,
    provider_pb2_grpc,
    status_pb2,
)

__all__ = ["plugin_pb2", "provider_pb2", "provider_pb2_grpc", "status_pb2"]
