"""The table of options that do not go together, in the place of a comment on a page.

It is made of the table that the estimators check, so that page and code cannot differ.
"""

import re

from skmoe._estimators.parameters.conflicts import CONFLICTS

MARK = "<!-- conflicts -->"
# Names and values of parameters, functions and classes: words with a sign that prose has not.
CODE = re.compile(r'(?<![\w`])(?:\w+=(?:"\w+"|\w+)|"\w+"|\w*_\w+|RowBlocks|dict|None)(?![\w`])')


def table():
    """The table in Markdown, in the order of the check."""
    rows = ["| option | with | reason and remedy |", "|---|---|---|"]
    for sides, reason in CONFLICTS.items():
        cells = [CODE.sub(r"`\g<0>`", text) for text in (*map("; ".join, sides), reason)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def write_table(app, docname, source):
    """Replace the comment of a page by the table."""
    source[0] = source[0].replace(MARK, table())


def setup(app):
    """Write the table where pages are read."""
    app.connect("source-read", write_table)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
