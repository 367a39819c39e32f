"""Formulas as MathML, which browsers draw by themselves: no script, no font, no network.

docutils turns LaTeX into MathML while the site is built; equations have no numbers. This
module must not know any page.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx


def keep_marks(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Hand each formula the mark after it, which a browser may else put on the next line."""
    for formula in list(doctree.findall(nodes.math)):
        after = formula.next_node(siblings=True, descend=False)
        if isinstance(after, nodes.Text) and after[0] in ".,:;":
            formula["mark"] = after[0]
            formula.parent.replace(after, nodes.Text(after[1:]))


def visit_inline(writer: Any, node: nodes.math) -> None:
    """Write a formula within a sentence."""
    mathml = tex2mathml(node.astext())
    writer.body.append(f'<span class="math">{mathml}{node.get("mark", "")}</span>')
    raise nodes.SkipNode


def visit_displayed(writer: Any, node: nodes.math_block) -> None:
    """Write a formula of its own, several lines of it where the source has them."""
    tex = node.astext()
    if r"\\" in tex and r"\begin" not in tex:
        tex = rf"\begin{{aligned}} {tex} \end{{aligned}}"
    writer.body.append(f'<div class="formula">{tex2mathml(tex, as_block=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the renderer under the name that ``html_math_renderer`` gives."""
    app.connect("doctree-resolved", keep_marks)
    app.add_html_math_renderer("mathml", (visit_inline, None), (visit_displayed, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
