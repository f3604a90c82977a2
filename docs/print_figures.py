"""Print the tables of benchmarks into the pages that show them.

A table stands between two comments of a page, of which the first has the command that prints it:

    <!-- figures: python tests/benchmarks/options.py -->
    <!-- end of figures -->

`python docs/print_figures.py --data DIR --only options` runs the commands that contain "options",
with `DIR` in them replaced, and puts the tables that they print between the comments.
"""

import argparse
import re
import shlex
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PLACE = re.compile(
    r"(<!-- figures: python (?P<command>[^\n]*?) -->\n).*?(<!-- end of figures -->)", re.S
)


def tables(printed):
    """The tables in Markdown among printed lines, with an empty line between two of them."""
    found = re.findall(r"(?:^\|.*\n?)+", printed, re.M)
    return "\n\n".join(table.strip() for table in found)


def figures(command, data):
    """The tables that a command prints."""
    words = [data if word == "DIR" else word for word in shlex.split(command)]
    print(f"python {' '.join(words)}", flush=True)
    run = subprocess.run(
        [sys.executable, *words], cwd=HERE.parent, check=True, text=True, stdout=subprocess.PIPE
    )
    found = tables(run.stdout)
    if not found:
        raise SystemExit(f"python {command} printed no table.")
    return found


def page_with_figures(text, only, data):
    """The text of a page with the tables of the commands that contain `only`."""

    def replaced(place):
        if only not in place["command"]:
            return place[0]
        return f"{place[1]}\n{figures(place['command'], data)}\n\n{place[3]}"

    return PLACE.sub(replaced, text)


def main():
    """Read the command line, and write the pages."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="DIR", help="folder with the tables")
    parser.add_argument("--only", default="", help="part of the commands to run")
    arguments = parser.parse_args()
    for path in sorted(HERE.rglob("*.md")):
        text = path.read_text("utf-8")
        if PLACE.search(text):
            path.write_text(page_with_figures(text, arguments.only, arguments.data), "utf-8")


if __name__ == "__main__":
    main()
