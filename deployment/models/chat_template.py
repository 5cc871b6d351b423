"""Chat templates that models.yaml brings: read beside it, and rendered into the release."""

from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser

from deployment.models.spec import Deployment


class Generation(Extension):
    """The block with which templates mark what a model has said: transformers knows it, Jinja does not."""

    tags = {"generation"}  # noqa: RUF012 - Jinja's own form

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


# What transformers renders templates with, as far as syntax goes.
SYNTAX = jinja2.Environment(extensions=[loopcontrols, Generation], autoescape=False)  # noqa: S701 - a prompt, not HTML


def chat_templates(deployment: Deployment, directory: Path) -> dict[str, str]:
    """Read the chat template of every model that has its own; `directory` is that of the models file."""
    named = {name: model.engine.chat_template for name, model in deployment.models.items()}
    return {name: (directory / path).read_text(encoding="utf-8") for name, path in named.items() if path is not None}


def template_problem(path: Path, said: Any) -> str | None:
    """Say why a file is no chat template; `said` is how models.yaml calls it."""
    try:
        SYNTAX.parse(path.read_text(encoding="utf-8"))
    except jinja2.TemplateSyntaxError as error:
        return (
            f'not a template that Jinja can read, got "{said}" with line {error.lineno}: {error.message}. Correct it.'
        )
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        return f'cannot be read, got "{said}": {reason}. Give a file, relative to the models file.'
    return None
