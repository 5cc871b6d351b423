"""How web pages and proxies name a gateway and themselves, as models.yaml may list them."""

from typing import Annotated

from pydantic import AfterValidator, Field


def _as_browsers_write_it(origin: str) -> str:
    """Refuse what no Origin header ever says."""
    if (origin.startswith("https://") and origin.endswith(":443")) or (
        origin.startswith("http://") and origin.endswith(":80")
    ):
        raise ValueError("with a port that browsers leave out")
    return origin


HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
"""As in a Host header, without a port."""
Origin = Annotated[
    str, Field(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[a-z0-9.\[\]:-]+)$"), AfterValidator(_as_browsers_write_it)
]
"""As in an Origin header; extensions and desktop clients have schemes of their own."""
