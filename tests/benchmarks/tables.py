"""Real tables for benchmarks: a folder of .npz files with X, y and test_fold."""

import argparse
from pathlib import Path

import numpy as np


def data_parser(description):
    """Command line with the folder of tables, and the tables to use."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument("--only", nargs="*", default=None, help="names of tables")
    return parser


def load_tables(folder, task, only=None):
    """Yield name, X, y and fold of each table of a task, "regression" or "classification"."""
    for path in sorted((folder / task).glob("*.npz")):
        if only and path.stem not in only:
            continue
        with np.load(path) as table:
            yield path.stem, table["X"].astype(float), table["y"], table["test_fold"]
