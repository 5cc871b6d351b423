"""Chat templates that models.yaml brings: read beside it, and rendered into the release."""

from pathlib import Path

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from deployment.errors import why


class Generation(Extension):
    """The block with which templates mark what a model has said: transformers knows it, Jinja does not."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own form

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


# What transformers renders templates with, as far as syntax goes.
SYNTAX = jinja2.Environment(extensions=[loopcontrols, Generation], autoescape=False)  # noqa: S701 - a prompt, not HTML


def read_chat_template(path: Path, said: str) -> str:
    """Read a chat template, which models.yaml calls `said`. Raises ValueError saying why it is none."""
    try:
        text = path.read_text(encoding="utf-8")
        SYNTAX.parse(text)
    except jinja2.TemplateSyntaxError as error:
        got = f'"{said}" with line {error.lineno}: {error.message}'
        raise ValueError(f"not a template that Jinja can read, got {got}. Correct it.") from None
    except (OSError, UnicodeDecodeError) as error:
        what = f'cannot be read: "{said}": {why(error)}'
        raise ValueError(f"{what}. Give a file, relative to the models file.") from None
    return text
