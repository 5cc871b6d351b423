"""Compute's list filters, as far as gcloud sends them; an expression that is not understood lets everything through.

That is safe: gcloud applies the whole filter again to what comes back.
"""

import re
from typing import Any

TERM = re.compile(r"\(?\s*([\w.\-\"]+)\s*(=|!=|eq|ne|:)\s*(\"[^\"]*\"|'[^']*'|[^\s()]+)\s*\)?")


def _value(resource: dict[str, Any], key: str) -> object:
    value: object = resource
    head, _, rest = key.replace('"', "").partition(".")
    for part in (head, rest) if head == "labels" else key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def matches(expression: str, resource: dict[str, Any]) -> bool:
    """Whether a filter lets a resource through. Only conjunctions of simple terms are judged."""
    if not expression or " OR " in expression or " NOT " in expression or expression[:1] == "-":
        return True
    for term in re.split(r"\)\s*(?:AND\s*)?\(|\s+AND\s+", expression):
        found = TERM.fullmatch(term.strip("() "))
        if found is None:
            return True
        key, operator, wanted = found[1], found[2], found[3].strip("\"'")
        actual = _value(resource, key)
        if operator in ("eq", "ne"):
            is_equal = re.fullmatch(wanted, str(actual or "")) is not None
        elif operator == ":":
            is_equal = actual is not None if wanted == "*" else wanted.lower() in str(actual or "").lower()
        else:
            is_equal = str(actual or "") == wanted
        if is_equal == (operator in ("!=", "ne")):
            return False
    return True
