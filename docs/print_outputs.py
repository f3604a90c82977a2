"""Print what the examples of pages give into the pages.

Runs the examples of each page that is named, `python docs/print_outputs.py docs/recipes.md`, and
replaces the outputs that differ from those shown. Numbers that agree to one in a hundred stay, as
in the tests of the pages. `--check` changes nothing, and lists the pages that would change.
"""

import argparse
import doctest
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from support.pages import FLAGS, NearlyTheSame, examples


class Recorder(doctest.DocTestRunner):
    """Runs examples, and keeps the outputs that differ from those shown."""

    def __init__(self):
        super().__init__(NearlyTheSame(), verbose=False, optionflags=FLAGS)
        self.outputs = []

    def report_failure(self, out, test, example, got):
        """Keep the output as it is to be shown."""
        self.outputs.append((example, got))

    def report_unexpected_exception(self, out, test, example, exc_info):
        """Stop: an error is no output."""
        raise exc_info[1]


def block_with_outputs(block, namespace, name):
    """The block with the outputs that its examples give, and whether one differs."""
    test = doctest.DocTestParser().get_doctest(block, namespace, name, None, 0)
    recorder = Recorder()
    recorder.run(test, clear_globs=False)
    namespace.update(test.globs)
    differing = dict((id(example), got) for example, got in recorder.outputs)
    shown = ""
    for part in doctest.DocTestParser().parse(block):
        if isinstance(part, str):
            shown += part
            continue
        lines = part.source.splitlines()
        shown += "".join(
            f"{'>>>' if i == 0 else '...'} {line}".rstrip() + "\n" for i, line in enumerate(lines)
        )
        [run] = [e for e in test.examples if (e.lineno, e.source) == (part.lineno, part.source)]
        shown += differing.get(id(run), part.want)
    return shown.replace("<BLANKLINE>\n", "\n"), bool(differing)


def page_with_outputs(path):
    """The text of a page with the outputs that its examples give."""
    text, namespace = path.read_text("utf-8"), {}
    for block in examples(path):
        shown, differs = block_with_outputs(block, namespace, str(path))
        if differs:
            text = text.replace(block.replace("<BLANKLINE>\n", "\n"), shown)
    return text


def main():
    """Read the command line, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pages", nargs="+", type=Path)
    parser.add_argument("--check", action="store_true", help="only list pages that would change")
    arguments = parser.parse_args()
    for path in arguments.pages:
        text = page_with_outputs(path)
        if text != path.read_text("utf-8"):
            print(path)
            if not arguments.check:
                path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
