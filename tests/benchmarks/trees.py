"""Mixtures of trees, fitted in sample and cross-fitted, beside one tree and ensembles.

For each table and random 75/25 split: RMSE over the spread of y (or error rate), mean negative log
density (or log loss) of the test rows, and CPU seconds. Single models get normal noise with the
variance of cross-validated residuals. Usage: python tests/benchmarks/trees.py --data DIR

With `--commit COMMIT` cross-fitted trees of this version are compared with those of an earlier one
instead, in turn, in processes of their own, on the first folds of each table.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings

import numpy as np
from markdown import print_table
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_predict, train_test_split
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tables import data_parser, load_tables
from versions import ROOT, unpack

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

LEAVES = {"min_samples_leaf": [1, 3, 5, 10, 20, 50]}
MIXTURE = {"regression": MixtureOfExpertsRegressor, "classification": MixtureOfExpertsClassifier}


def models(task, experts, leaves):
    """Names and estimators to compare."""
    regression = task == "regression"
    tree = DecisionTreeRegressor if regression else DecisionTreeClassifier
    forest = RandomForestRegressor if regression else RandomForestClassifier
    boosting = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    yield "tree, tuned", GridSearchCV(tree(random_state=0), LEAVES, cv=3)
    kinds = {"tree": "tree"}
    kinds |= {f"tree, leaves of {n}": tree(min_samples_leaf=n) for n in leaves}
    for name, expert in kinds.items():
        for cross_fit in (False, "auto"):
            for k in experts:
                moe = MIXTURE[task](k, expert=expert, cross_fit=cross_fit, random_state=0)
                yield f"{k} x {name}, {'cross-fitted' if cross_fit else 'in sample'}", moe
    yield "random forest", forest(random_state=0)
    yield "boosting", boosting(random_state=0)


def judge(task, model, train, test):
    """Error, loss and CPU seconds."""
    (X, y), (X_test, y_test) = train, test
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
        seconds = time.process_time() - begin
        if task == "classification":
            probs = np.clip(model.predict_proba(X_test), 1e-3, 1)
            loss = log_loss(y_test, probs / probs.sum(axis=1, keepdims=True))
            return (model.predict(X_test) != y_test).mean(), loss, seconds
        residual = y_test - model.predict(X_test)
        if hasattr(model, "predict_gate"):
            loss = -model.score_samples(X_test, y_test).mean()
        else:
            best = getattr(model, "best_estimator_", model)
            variance = np.mean((y - cross_val_predict(best, X, y, cv=3)) ** 2)
            loss = 0.5 * np.mean(np.log(2 * np.pi * variance) + residual**2 / variance)
    spread = y.std()
    return np.sqrt(np.mean(residual**2)) / spread, loss - np.log(spread), seconds


def fit_folds(arguments, task, table):
    """Error, loss and CPU seconds of cross-fitted trees on each of the first folds, as a list."""
    ((_, X, y, fold),) = load_tables(arguments.data, task, [table], arguments.most_rows)
    rows = []
    for split in range(arguments.splits):
        moe = MIXTURE[task](arguments.experts[0], expert="tree", random_state=0)
        train, test = fold != split, fold == split
        rows.append(judge(task, moe, (X[train], y[train]), (X[test], y[test])))
    return np.array(rows).tolist()


def fit_version(arguments, tree, task, table):
    """Results of `fit_folds` by the package in a folder."""
    environment = os.environ | {"PYTHONPATH": str(tree), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--data", str(arguments.data), "--of-table", task, table]
    command += ["--experts", str(arguments.experts[0]), "--splits", str(arguments.splits)]
    command += ["--most-rows", str(arguments.most_rows)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return np.mean(json.loads(done.stdout), axis=0)


def compare_versions(arguments):
    """Print CPU seconds, their ratio, and the changes of error and loss for each table."""
    print(f"{'':<29}{'earlier':>9}{'now':>9}{'ratio':>7}{'error':>9}{'loss':>9}")
    with tempfile.TemporaryDirectory() as folder:
        unpack(arguments.commit, folder)
        for task in arguments.task:
            changes = []
            for table, *_ in load_tables(arguments.data, task, arguments.only):
                before, now = (fit_version(arguments, tree, task, table) for tree in (folder, ROOT))
                ratio = before[2] / now[2]
                changes.append([np.log(ratio), np.log(now[0] / before[0]), now[1] - before[1]])
                print(
                    f"{task:<15}{table:<14}{before[2]:>8.2f}s{now[2]:>8.2f}s{ratio:>7.1f}"
                    f"{now[0] / before[0] - 1:>+9.2%}{now[1] - before[1]:>+9.4f}",
                    flush=True,
                )
            if changes:
                ratio, error, loss = np.mean(changes, axis=0)
                least = np.exp(np.min(changes, axis=0)[0])
                print(
                    f"{task}: {np.exp(ratio):.1f} times faster (geometric mean; at least "
                    f"{least:.1f}), error {np.exp(error) - 1:+.2%}, loss {loss:+.4f}"
                )


def main():
    """Print a line for each model and table, and means over the tables."""
    parser = data_parser(__doc__)
    parser.add_argument("--task", choices=list(MIXTURE), nargs="*", default=list(MIXTURE))
    parser.add_argument("--splits", type=int, default=3)
    parser.add_argument("--experts", type=int, nargs="*", default=[2, 4, 8])
    parser.add_argument("--most-rows", type=int, default=5000)
    parser.add_argument("--leaves", type=int, nargs="*", default=[], help="other sizes of leaves")
    parser.add_argument("--commit", help="of an earlier version to compare with")
    parser.add_argument("--of-table", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.of_table:
        print(json.dumps(fit_folds(arguments, *arguments.of_table)))
        return
    if arguments.commit:
        compare_versions(arguments)
        return
    for task in arguments.task:
        results = {}
        tables = load_tables(arguments.data, task, arguments.only, arguments.most_rows)
        for table, X, y, _ in tables:
            for name, model in models(task, arguments.experts, arguments.leaves):
                rows = []
                for split in range(arguments.splits):
                    X_train, X_test, y_train, y_test = train_test_split(
                        X, y, random_state=split, stratify=y if task == "classification" else None
                    )
                    rows.append(judge(task, model, (X_train, y_train), (X_test, y_test)))
                results.setdefault(name, []).append(np.mean(rows, axis=0))
                error, loss, seconds = results[name][-1]
                print(
                    f"{task:<15}{table:<14}{name:<30}{error:>8.3f}{loss:>9.3f}{seconds:>8.1f}",
                    flush=True,
                )
        if not results:
            continue
        single = np.array(results["tree, tuned"])
        wins = {name: (np.array(rows) < single).sum(axis=0) for name, rows in results.items()}
        means = {
            name: [*np.mean(rows, axis=0), *map(str, wins[name][:2])]
            for name, rows in results.items()
        }
        columns = ["error", "loss", "seconds", "smaller error than the tree", "smaller loss"]
        print_table(f"{task}, mean of {len(single)} tables", columns, means)


if __name__ == "__main__":
    main()
