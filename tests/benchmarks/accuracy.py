"""Mixtures of experts beside the models that people use, on real tables.

For each table, split (test_fold 0 to 4 held out in turn) and model: RMSE over the spread of y (or
error rate), mean negative log density (log loss), CRPS over the spread of y, and CPU seconds; then
means and mean ranks over the tables. Single models get normal noise with the variance of their
cross-validated residuals. With --ngboost the NGBoost of the environment joins in.
Usage: python tests/benchmarks/accuracy.py --data DIR
"""

import time
import warnings

import numpy as np
from scipy.stats import rankdata
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.distributions import MixtureDistribution
from skmoe.recipes import strong_classifier, strong_regressor

LEAVES = {"min_samples_leaf": [1, 3, 5, 10, 20, 50]}
FIGURES = ("error", "loss", "CRPS", "seconds")


def models(task, ngboost):
    """Names and estimators to compare."""
    regression = task == "regression"
    mixture = MixtureOfExpertsRegressor if regression else MixtureOfExpertsClassifier
    boosting = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    forest = RandomForestRegressor if regression else RandomForestClassifier
    tree = DecisionTreeRegressor if regression else DecisionTreeClassifier
    strong = strong_regressor if regression else strong_classifier
    linear = (
        RidgeCV(np.logspace(-3, 3, 7))
        if regression
        else LogisticRegressionCV(scoring="neg_log_loss", max_iter=1000)
    )
    yield "mixture, default", mixture(random_state=0)
    yield "mixture, averaged", mixture(8, combine="average", n_init=8, random_state=0)
    yield "mixture, auto", mixture("auto", random_state=0)
    yield "mixture on boosting", mixture(base=boosting(random_state=0), random_state=0)
    yield "strong recipe", strong(random_state=0)
    yield "linear model", make_pipeline(StandardScaler(), linear)
    yield "tree, tuned", GridSearchCV(tree(random_state=0), LEAVES, cv=3)
    yield "random forest", forest(random_state=0)
    yield "boosting", boosting(random_state=0)
    if ngboost and regression:
        from ngboost import NGBRegressor

        yield "NGBoost", NGBRegressor(random_state=0, verbose=False)


def predicted_distribution(model, X, y, X_test):
    """The distribution that a fitted regressor predicts, or normal noise about its mean."""
    if hasattr(model, "predict_dist"):
        return model.predict_dist(X_test)
    if hasattr(model, "pred_dist"):
        normal = model.pred_dist(X_test)
        mean, std = normal.loc[:, None], normal.scale[:, None]
    else:
        best = getattr(model, "best_estimator_", model)
        mean = model.predict(X_test)[:, None]
        std = np.full_like(mean, np.std(y - cross_val_predict(best, X, y, cv=3)))
    return MixtureDistribution(np.ones_like(mean), mean, std)


def judge(task, model, X, y, X_test, y_test):
    """Error, loss, CRPS and CPU seconds."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
        seconds = time.process_time() - begin
        if task == "classification":
            probs = np.clip(model.predict_proba(X_test), 1e-3, 1)
            loss = log_loss(y_test, probs / probs.sum(axis=1, keepdims=True))
            return (model.predict(X_test) != y_test).mean(), loss, np.nan, seconds
        dist = predicted_distribution(model, X, y, X_test)
        error = np.sqrt(np.mean((y_test - model.predict(X_test)) ** 2))
    spread = y.std()
    loss = -dist.logpdf(y_test).mean() - np.log(spread)
    return error / spread, loss, dist.crps(y_test).mean() / spread, seconds


def report(task, results):
    """Print means over the tables and mean ranks."""
    figures = np.array(list(results.values()))  # (models, tables, figures)
    ranks = np.array([rankdata(figures[:, j], axis=0) for j in range(figures.shape[1])])
    print(f"\n| {task}, {figures.shape[1]} tables | " + " | ".join(FIGURES), end=" | ")
    print("rank by error | rank by loss | rank by CRPS |")
    print("|---" * (len(FIGURES) + 4) + "|")
    for i, name in enumerate(results):
        means = " | ".join(f"{value:.3f}" for value in figures[i].mean(axis=0))
        mean_ranks = " | ".join(f"{value:.1f}" for value in ranks[:, i, :3].mean(axis=0))
        print(f"| {name} | {means} | {mean_ranks} |")


def main():
    """Print a line for each model and table, and a summary of each task."""
    parser = data_parser(__doc__)
    parser.add_argument("--task", choices=["regression", "classification"], nargs="*")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--most-rows", type=int, default=5000)
    parser.add_argument("--ngboost", action="store_true")
    parser.add_argument("--models", nargs="*", default=None, help="names of the models to compare")
    arguments = parser.parse_args()
    for task in arguments.task or ["regression", "classification"]:
        results = {}
        tables = load_tables(arguments.data, task, arguments.only, arguments.most_rows)
        for table, X, y, fold in tables:
            for name, model in models(task, arguments.ngboost):
                if arguments.models and name not in arguments.models:
                    continue
                rows = [
                    judge(task, model, X[fold != k], y[fold != k], X[fold == k], y[fold == k])
                    for k in range(arguments.splits)
                ]
                results.setdefault(name, []).append(np.mean(rows, axis=0))
                told = "".join(f"{value:>10.3f}" for value in results[name][-1])
                print(f"{table:<14}{name:<24}{told}", flush=True)
        report(task, results)


if __name__ == "__main__":
    main()
