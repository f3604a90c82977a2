"""Tables in Markdown, which docs/print_figures.py puts into the pages."""

import math


def print_table(title, columns, rows):
    """Print a table: a title above the names of the rows, and the cells of each row by its name."""
    print(f"\n| {' | '.join([title, *columns])} |\n" + "|---" * (len(columns) + 1) + "|")
    for name, cells in rows.items():
        print(f"| {' | '.join([name, *map(shown, cells)])} |", flush=True)


def shown(cell):
    """Text as it is, numbers with three decimals, and nothing for NaN."""
    return cell if isinstance(cell, str) else "" if math.isnan(cell) else f"{cell:.3f}"
