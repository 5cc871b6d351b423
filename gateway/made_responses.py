"""Who made which response, and for whom, for /v1/responses/{id}: engines give the ids, and each knows its own only."""

import re
from collections import OrderedDict

from gateway.errors import ApiError, shown

MAX_REMEMBERED = 10_000
MAX_ID_CHARS = 128
HEAD_BYTES = 1024
_ID = re.compile(rb'"id":\s*"(resp_[A-Za-z0-9_-]{1,123})"')
"""The first of an answer is its own: those of its parts come later."""


class MadeResponses:
    """The last responses, by whom they were made for and by their ids. The oldest are forgotten."""

    def __init__(self) -> None:
        self._makers: OrderedDict[tuple[str, str], str] = OrderedDict()

    def note(self, body: bytes, served: str, caller: str = "") -> None:
        """Remember which model, or adapter, made the response that this answer, or its first event, begins."""
        if found := _ID.search(body[:HEAD_BYTES]):
            self._makers[caller, found[1].decode()] = served
            if len(self._makers) > MAX_REMEMBERED:
                self._makers.popitem(last=False)

    def maker_of(self, response_id: str, caller: str = "") -> str:
        """Return what made a response. Raises ApiError for one that nobody made for this caller, or that was
        forgotten."""
        served = self._makers.get((caller, response_id))
        if served is None:
            what = f"No response is called {shown(response_id)}. The last {MAX_REMEMBERED} since the start are known."
            raise ApiError(404, "not_found", what, param="response_id")
        return served
