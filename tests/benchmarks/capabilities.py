"""What works with which family, by a short fit of each pair, which checks what it promises.

An empty cell is a pair that is refused with a reason. Families with the same cells share a row, and
what works with the same families a column. Any other error, and a broken promise, ends the program.

Usage: python tests/benchmarks/capabilities.py
"""

import sys
import warnings
from pathlib import Path

from markdown import print_table

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.capabilities import CAPABILITIES, ROWS, works


def merged(cells):
    """Names with the same cells, joined, and these cells."""
    alike = {}
    for name, values in cells.items():
        alike.setdefault(tuple(values), []).append(name)
    return {", ".join(names): values for values, names in alike.items()}


def main():
    """Print what works with all families, and a table of what does not."""
    warnings.simplefilter("ignore")
    columns = merged({name: [works(row, name) for row in ROWS] for name in CAPABILITIES})
    for name in [name for name, cells in columns.items() if all(cells)]:
        columns.pop(name)
        print_table("works with all families", [], {name: []})
    rows = merged(dict(zip(ROWS, zip(*columns.values(), strict=True), strict=True)))
    shown = {name: ["✓" if cell else "" for cell in cells] for name, cells in rows.items()}
    print_table("family", list(columns), shown)


if __name__ == "__main__":
    main()
