"""How web pages and proxies name a gateway and themselves, as models.yaml may list them."""

from typing import Annotated

from pydantic import Field

HostName = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
"""As in a Host header, without a port."""
Origin = Annotated[str, Field(pattern=r"^(\*|[a-z][a-z0-9+.-]*://[a-z0-9.\[\]:-]+)$")]
"""As in an Origin header; extensions and desktop clients have schemes of their own."""
