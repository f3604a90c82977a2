"""Print the tables of benchmarks into the pages that show them.

A page names the command of a table and the version that has printed it. The table stands below,
between two comments:

    Command: `python tests/benchmarks/options.py`. Version: 0.3.0.
    <!-- figures -->
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
    r"Command: `python (?P<command>[^`]+)`\. Version: [^\n]+\.\n<!-- figures -->\n.*?"
    r"<!-- end of figures -->",
    re.S,
)


def version():
    """The version of the code: the first of the changelog."""
    changelog = (HERE / "changelog.md").read_text("utf-8")
    return re.search(r"^## (\d+\.\d+\.\d+)", changelog, re.M)[1]


def tables(printed):
    """The tables in Markdown among printed lines, with an empty line between two of them."""
    found = re.findall(r"(?:^\|.*\n?)+", re.sub(r" *\| *", "|", printed), re.M)
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
        command = place["command"]
        if only not in command:
            return place[0]
        return (
            f"Command: `python {command}`. Version: {version()}.\n<!-- figures -->\n\n"
            f"{figures(' '.join(command.split()), data)}\n\n<!-- end of figures -->"
        )

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
