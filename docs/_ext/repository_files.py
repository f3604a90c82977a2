"""Code that names a file of the repository becomes a link to that file.

`python tests/benchmarks/speed.py --only recipes` leads to the script. Where the repository has a
public address (the option `repository_url`), that is the target. Where it has none, the site has
a page with the text of the file. Sources of pages and examples of a gallery lead to their page.
"""

import re
from html import escape
from pathlib import Path, PurePosixPath

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

ROOT = Path(__file__).parents[2]
FOLDERS = (ROOT, ROOT / "skmoe")  # the rooms of the package are named without its folder
FILE = re.compile(r"(?:^|\s)((?:[\w.-]+/)*[\w-]+\.(?:cfg|css|js|json|md|py|toml|txt))(?=\s|$)")
NO_LINKS_INSIDE = (
    nodes.reference,
    nodes.title,
    addnodes.pending_xref,
    addnodes.download_reference,
)


def file_named_in(text):
    """The first file of the repository that a text names, relative to its root, or None."""
    for name in FILE.findall(text):
        for folder in FOLDERS:
            if (folder / name).is_file():
                return (folder / name).relative_to(ROOT).as_posix()
    return None


def is_inside(node, kinds):
    """Whether a node has a parent of some kind."""
    while node is not None and not isinstance(node, kinds):
        node = node.parent
    return node is not None


class LinkFiles(SphinxTransform):
    """Turn literals that name a file into links."""

    default_priority = 700

    def apply(self, **kwargs):
        """Replace the literals of one page."""
        for literal in list(self.document.findall(nodes.literal)):
            path = file_named_in(literal.astext())
            if path and not is_inside(literal, NO_LINKS_INSIDE):
                link = nodes.reference("", "", internal=True, refuri=self.address_of(path))
                literal.replace_self(link)
                link += literal

    def address_of(self, path):
        """The address of a file, as seen from the page."""
        page = next(filter(self.env.found_docs.__contains__, self.pages_made_of(path)), None)
        if page is None and self.config.repository_url:
            return f"{self.config.repository_url}/blob/main/{path}"
        if page is None:
            page = f"source/{path}"
            self.env.note_dependency(ROOT / path)
            self.env.cited_files.setdefault(self.env.docname, set()).add(path)
        return self.app.builder.get_relative_uri(self.env.docname, page)

    def pages_made_of(self, path):
        """Names of the pages that a file would be the source of, as page or as example."""
        options = self.config.sphinx_gallery_conf
        examples, galleries = (
            [value] if isinstance(value, str) else value
            for value in (options["examples_dirs"], options["gallery_dirs"])
        )
        docs = Path(self.app.srcdir)
        for folder, pages in [(docs, ""), *zip(examples, galleries, strict=True)]:
            if (ROOT / path).is_relative_to(top := (docs / folder).resolve()):
                yield str(PurePosixPath(pages, (ROOT / path).relative_to(top).with_suffix("")))


def prepare(app, env, docnames):
    """Give the environment a place for the files that pages cite."""
    if not hasattr(env, "cited_files"):
        env.cited_files = {}


def forget(app, env, docname):
    """Drop the files of a page that is read again."""
    getattr(env, "cited_files", {}).pop(docname, None)


def pages_of_files(app):
    """The pages with the text of the files that are cited."""
    for path in sorted(set().union(*app.env.cited_files.values())):
        try:
            language = get_lexer_for_filename(path).aliases[0]
        except ClassNotFound:
            language = "text"
        text = (ROOT / path).read_text("utf-8")
        code = app.builder.highlighter.highlight_block(text, language, location=path)
        body = f'<h1>{escape(path)}</h1>\n<div class="highlight-{language}">{code}</div>'
        yield f"source/{path}", {"title": path, "body": body}, "page.html"


def setup(app):
    """Add the transform, and the pages of the files."""
    app.add_config_value("repository_url", "", "env", str)
    app.add_transform(LinkFiles)
    app.connect("env-before-read-docs", prepare)
    app.connect("env-purge-doc", forget)
    app.connect("html-collect-pages", pages_of_files)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
