"""Links to the references of NumPy and scikit-learn, without their inventories.

A name is linked only if the installed package has it, at the address where that project
puts the page of every public name; a misspelt one stays unresolved, and Sphinx says so.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

PAGES = {
    "numpy": "https://numpy.org/doc/stable/reference/generated/{name}.html",
    "sklearn": "https://scikit-learn.org/stable/modules/generated/{name}.html",
}
"""Where each project puts the page of a class or function."""


def exists(name: str) -> bool:
    """Say whether a dotted name is a public object of a package that can be imported."""
    module, _, attribute = name.rpartition(".")
    if any(part.startswith("_") for part in name.split(".")):
        return False
    try:
        return hasattr(import_module(module), attribute)
    except ImportError:
        return False


def link(app: Sphinx, env: Any, node: Any, content: nodes.Node) -> nodes.reference | None:
    """Return a reference for a name that another project documents, None for any other."""
    name = node.get("reftarget", "")
    page = PAGES.get(name.partition(".")[0])
    if page is None or not exists(name):
        return None
    return nodes.reference("", "", content, internal=False, refuri=page.format(name=name))


def setup(app: Sphinx) -> dict[str, bool]:
    """Answer for references that nothing else resolves."""
    app.connect("missing-reference", link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
