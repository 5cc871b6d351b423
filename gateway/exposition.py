"""One page of metrics for a host: the gateway's own, and every engine's with the name of its served model.

Text in, text out. Parsing into numbers and writing them again would cost ten times as much and could round.
Format: https://prometheus.io/docs/instrumenting/exposition_formats (text, version 0.0.4).
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

PAGE_BYTES = 1024 * 1024
"""What is larger is left out: an engine of vLLM 0.32 says about a tenth of it."""
OURS = ("gateway_", "axion_")
"""Names that an engine cannot take."""

_ABOUT = re.compile(r"# (HELP|TYPE) ([a-zA-Z_:][a-zA-Z0-9_:]*) .*")
_QUOTED = r'"(?:[^"\\\n]|\\.)*"'
_LABEL = rf"[a-zA-Z_][a-zA-Z0-9_]*={_QUOTED}"
_LABELS = rf"\{{({_LABEL}(?:,{_LABEL})*)?,?\}}"
_NUMBER = r"[-+]?[0-9][0-9.eE+-]*|[-+]?Inf|NaN"
_SAMPLE = re.compile(rf"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:{_LABELS})? ({_NUMBER})(?: -?\d+)?")
_MODEL = re.compile(rf"(?:^|,)model={_QUOTED}")
_PARTS = ("_bucket", "_count", "_sum", "_created", "_total")


@dataclass(slots=True)
class Family:
    """One metric: what is said about it, and its samples. They must stand together, whoever they are from."""

    about: list[str] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)


def merged(own: str, pages: Mapping[str, str]) -> str:
    """Return the gateway's page followed by the engines' samples, each with `model`.

    `pages` maps a served model to what its engine says. Lines that are no metric, samples that have a `model` of their
    own, and names of ours are left out: an engine can spoil its own figures and nobody else's.
    """
    families: dict[str, Family] = {}
    for model, page in pages.items():
        _add(families, page, f'model="{model}"')
    lines = (line for family in families.values() if family.samples for line in (*family.about, *family.samples))
    return own + "".join(f"{line}\n" for line in lines)


def _add(families: dict[str, Family], page: str, label: str) -> None:
    described: set[str] = set()
    for line in page.split("\n"):
        if about := _ABOUT.fullmatch(line):
            kind, name = about.groups()
            family = families.setdefault(name, Family())
            if not any(known.startswith(f"# {kind} ") for known in family.about):  # the first engine's word counts
                family.about.append(line)
            described.add(name)
        elif sample := _SAMPLE.fullmatch(line):
            name, labels, value = sample.groups()
            if name.startswith(OURS) or (labels and _MODEL.search(labels)):
                continue
            text = f"{name}{{{label},{labels}}} {value}" if labels else f"{name}{{{label}}} {value}"
            families.setdefault(_family_of(name, described), Family()).samples.append(text)


def _family_of(name: str, described: Iterable[str]) -> str:
    """Return the metric that a sample belongs to: a histogram's samples are called after their parts."""
    if name in described:
        return name
    bare = next((name.removesuffix(part) for part in _PARTS if name.endswith(part)), name)
    return bare if bare in described else name
