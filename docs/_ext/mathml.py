"""Formulas as MathML, which browsers draw themselves: no page loads a script from another host."""

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.util import logging

logger = logging.getLogger(__name__)
# Commands of LaTeX that docutils does not know, with what it knows instead.
SYNONYMS = {r"\dots": r"\ldots"}


def draw(translator, node, *, block):
    """Write the formula of a node, or warn that it cannot be read."""
    formula = node.astext()
    for command, known in SYNONYMS.items():
        formula = formula.replace(command, known)
    try:
        markup = tex2mathml(formula, as_block=block)
    except MathError as error:
        logger.warning("The formula %s cannot be read: %s", formula, error, location=node)
        markup = translator.encode(formula)
    translator.body.append(f'<div class="math">{markup}</div>' if block else markup)
    raise nodes.SkipNode


def setup(app):
    """Make MathML the renderer of formulas."""
    app.add_html_math_renderer(
        "mathml",
        inline_renderers=(lambda *args: draw(*args, block=False), None),
        block_renderers=(lambda *args: draw(*args, block=True), None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
