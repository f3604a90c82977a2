"""Stacks for targets of few values, with an ordinal model and without.

For each table whose y has at most 30 values, and each of test_fold 0 and 1: RMSE and CRPS over
the spread of y, mean log probability of the value, share of y in central 90 % intervals, and CPU
seconds of the fit. The models are a forest with normal noise, an ordinal mixture, and the strong
recipe without it and with it. Continuous distributions give each value the probability of its
cell, half way to its neighbours and at least 1e-12; CRPS is that of these probabilities.
Usage: python tests/benchmarks/ratings.py --data DIR
"""

import time
import warnings

import numpy as np
from accuracy import MAX_VALUES, loss_and_crps, predicted_distribution
from sklearn.base import clone
from sklearn.ensemble import RandomForestRegressor
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsRegressor
from skmoe.recipes import strong_regressor

FOLDS = (0, 1)
FIGURES = ("error", "CRPS", "log P", "coverage", "seconds")


def models():
    """Names and estimators."""
    ordinal = MixtureOfExpertsRegressor(4, family="ordinal", n_init=2, tol=1e-3, random_state=0)
    yield "random forest", RandomForestRegressor(random_state=0)
    yield "ordinal mixture", ordinal
    recipe = strong_regressor(random_state=0)
    yield "recipe, with ordinal", recipe
    yield "recipe, continuous", clone(recipe).set_params(ordinal_experts="drop")


def judge(model, X, y, X_test, y_test):
    """The figures of one model on one fold, whose values are all in the training rows."""
    begin = time.process_time()
    model.fit(X, y)
    seconds = time.process_time() - begin
    dist = predicted_distribution(model, X, y, X_test)
    loss, crps = loss_and_crps(dist, y, y_test)
    low, high = dist.interval(0.9).T
    error = np.sqrt(np.mean(np.square(dist.mean - y_test))) / y.std()
    return error, crps, -loss, np.mean((low <= y_test) & (y_test <= high)), seconds


def main():
    """Print the figures of all tables with few values, as means over the folds."""
    parser = data_parser(__doc__)
    parser.add_argument("--most-rows", type=int, default=1000)
    arguments = parser.parse_args()
    print(f"{'':<38}" + "".join(f"{figure:>10}" for figure in FIGURES))
    for table, X, y, fold in load_tables(
        arguments.data, "regression", arguments.only, arguments.most_rows
    ):
        if len(np.unique(y)) > MAX_VALUES:
            continue
        for name, model in models():
            found = []
            for k in FOLDS:
                train, test = fold != k, (fold == k) & np.isin(y, y[fold != k])
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found.append(judge(clone(model), X[train], y[train], X[test], y[test]))
            figures = "".join(f"{value:>10.3f}" for value in np.mean(found, axis=0))
            print(f"{table:<14}{name:<24}{figures}", flush=True)


if __name__ == "__main__":
    main()
