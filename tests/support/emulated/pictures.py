"""Pictures of one colour, as a chat message carries them."""

import base64
from typing import Any

from build.cli.first_answer import png

COLOURS = {"red": (255, 0, 0), "white": (255, 255, 255)}


def question_about(colour: str) -> list[dict[str, Any]]:
    """The content of a message: a picture, and a question about it."""
    url = f"data:image/png;base64,{base64.b64encode(png(COLOURS[colour])).decode()}"
    return [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What do you see?"}]
