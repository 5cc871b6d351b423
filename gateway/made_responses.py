"""Which engine made which response, for /v1/responses/{id}: engines give the names, and each knows its own only."""

import re
from collections import OrderedDict

from gateway.errors import ApiError, shown

MAX_REMEMBERED = 10_000
MAX_ID_CHARS = 128
HEAD_BYTES = 1024
_ID = re.compile(rb'"id":\s*"(resp_[A-Za-z0-9_-]{1,123})"')
"""The first of an answer is its own: those of its parts come later."""


class MadeResponses:
    """The last responses, by their ids. The oldest are forgotten."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, str] = OrderedDict()

    def note(self, body: bytes, model: str) -> None:
        """Remember who made the response that this answer, or the first event of one, is the beginning of."""
        if found := _ID.search(body[:HEAD_BYTES]):
            self._models[found[1].decode()] = model
            if len(self._models) > MAX_REMEMBERED:
                self._models.popitem(last=False)

    def model_of(self, response_id: str) -> str:
        """Return who made a response. Raises ApiError for one that nobody made, or that was forgotten."""
        model = self._models.get(response_id)
        if model is None:
            what = f"No response is called {shown(response_id)}. The last {MAX_REMEMBERED} since the start are known."
            raise ApiError(404, "not_found", what, param="response_id")
        return model
