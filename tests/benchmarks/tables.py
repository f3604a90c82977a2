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


def load_tables(folder, task, only=None, most_rows=None):
    """Yield name, X, y and fold of each table of a task, "regression" or "classification".

    Of more rows than `most_rows` that many, drawn at random.
    """
    for path in sorted((folder / task).glob("*.npz")):
        if only and path.stem not in only:
            continue
        with np.load(path) as table:
            X, y, fold = table["X"].astype(float), table["y"], table["test_fold"]
        if most_rows is None:
            yield path.stem, X, y, fold
            continue
        rows = np.random.default_rng(0).permutation(len(y))[:most_rows]
        yield path.stem, X[rows], y[rows], fold[rows]
