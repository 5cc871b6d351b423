"""Names that no model may have, and what each means already. test_reserved.py looks for more."""

from collections.abc import Mapping
from types import MappingProxyType

ALL = "all"
"""What tasks that take models' names call all of them."""

# Words the gateway itself gives a meaning to, in requests: no alias and no adapter may have them either.
MEANT_BY_CLIENTS: Mapping[str, str] = MappingProxyType(
    {"auto": "means the default model", "default": "means the default model"}
)

# A model is a process, a log, a socket and two directories on its host: one of these names would take another's place.
NAMES: Mapping[str, str] = MappingProxyType(
    {
        **MEANT_BY_CLIENTS,
        ALL: "means every model to `fab models-update`",
        "engine-starter": "is the process that starts models on demand",
        "gateway": "is the gateway's process and log",
        "supervisor": "is the socket of this computer's process runner",
        "supervisord": "is the log of this computer's process runner",
        "systemd": "is the log of a host's process runner",
    }
)


def why_reserved(name: object) -> str | None:
    """Say what a model's name means already; None where it is free."""
    return NAMES.get(name) if isinstance(name, str) else None
