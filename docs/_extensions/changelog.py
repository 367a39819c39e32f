"""The changelog on the site: its Markdown as reStructuredText, below the heading of a page.

It knows headings, lists, names in backquotes, strong words and links to other sites, which is
what a changelog is made of. This module must not know what has changed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

UNDERLINES = {"##": "~", "###": "^"}
"""By the sign of a heading; the first of all is the page's own."""


def restructured(markdown: str) -> str:
    """Return a changelog as reStructuredText, without its title."""
    lines = []
    for line in markdown.splitlines():
        sign, _, heading = line.partition(" ")
        if sign == "#":
            continue
        if sign in UNDERLINES:
            heading = heading.strip("[]")
            lines += [heading, UNDERLINES[sign] * len(heading)]
            continue
        line = re.sub(r"`([^`]+)`", r"``\1``", line)
        lines.append(re.sub(r"\[([^\]]+)\]\((https?://[^)]+)\)", r"`\1 <\2>`__", line))
    return "\n".join(lines)


class Changelog(SphinxDirective):
    """``.. changelog:: FILE``, with the file's path from the page."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return what the file says."""
        _, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(path)
        text = restructured(Path(path).read_text(encoding="utf-8"))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("changelog", Changelog)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
