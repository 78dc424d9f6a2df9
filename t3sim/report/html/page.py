"""A report's document as one HTML file that needs nothing else: no network, no other file."""

import html
import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any


def page(document: Mapping[str, Any]) -> str:
    """Put the document, the style and the script into the page; the same document gives the same text.

    The page builds everything from the document with text nodes, so no text in it can become markup.
    """
    data = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Inside a script element only these can end it or open a comment in it.
    data = data.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    data = data.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    parts = {
        "style": _file("page.css"),
        "script": _script(),
        "title": html.escape(str(document["title"])),
        "data": data,
    }
    # Split once: what is put in is never searched for placeholders.
    pieces = _file("page.html").split("@@")
    return "".join(piece if number % 2 == 0 else parts[piece] for number, piece in enumerate(pieces))


def _script() -> str:
    return "\n".join(_file(name) for name in ("basics.js", "tables.js", "charts.js", "page.js"))


@cache
def _file(name: str) -> str:
    return files("t3sim.report.html").joinpath(name).read_text(encoding="utf-8")
