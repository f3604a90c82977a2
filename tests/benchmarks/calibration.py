"""Calibration of predictive distributions on held-out rows of real tables.

For each table (fold 0 held out) and model: coverage of central 50, 80, 90 and 95 % intervals, mean
width of the 90 % interval and mean CRPS, both over the spread of y, and the distance of the PIT
values from uniform: the largest gap between their distribution and the diagonal. Boosting gives
quantiles only: its CRPS is twice the mean pinball loss over them, its PIT distance is measured at
them. Usage: python tests/benchmarks/calibration.py --data DIR
"""

import warnings

import numpy as np
from markdown import print_table
from scipy.integrate import trapezoid
from scipy.stats import kstest
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_pinball_loss
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsRegressor
from skmoe.distributions import NormalComponents, PredictiveDistribution

COVERAGES = np.array([0.5, 0.8, 0.9, 0.95])
LEVELS = np.sort(np.concatenate([(1 - COVERAGES) / 2, [0.5], (1 + COVERAGES) / 2]))


def normal_mixture(weights, means, stds):
    """Mixtures of normals, with parameters (n, C)."""
    part = NormalComponents(weights.T, means.T[:, None], stds.T[:, None])
    return PredictiveDistribution([part], np.ones((1, len(weights))))


def linear_model(X, y, X_test):
    """One linear model with the same normal noise everywhere, as in textbooks."""
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 7)))
    noise = np.std(y - cross_val_predict(model, X, y, cv=5))
    means = model.fit(X, y).predict(X_test)[:, None]
    return normal_mixture(np.ones_like(means), means, np.full_like(means, noise))


def mixture(expert):
    """A mixture of four experts with default parameters."""

    def fit(X, y, X_test):
        moe = MixtureOfExpertsRegressor(4, expert=expert, random_state=0)
        return moe.fit(X, y).predict_dist(X_test)

    return fit


def boosted_quantiles(X, y, X_test):
    """Quantiles, one boosting for each, sorted."""
    quantiles = [
        HistGradientBoostingRegressor(loss="quantile", quantile=q, random_state=0)
        .fit(X, y)
        .predict(X_test)
        for q in LEVELS
    ]
    return np.sort(np.column_stack(quantiles), axis=1)


MODELS = {
    "linear, one noise": linear_model,
    "mixture, linear": mixture("linear"),
    "mixture, trees": mixture("tree"),
    "boosted quantiles": boosted_quantiles,
}


def judge(predicted, y, spread):
    """Coverages, width, CRPS and distance of the PIT."""
    if isinstance(predicted, PredictiveDistribution):
        quantiles = predicted.ppf(LEVELS)
        crps = predicted.crps(y).mean()
        distance = kstest(predicted.cdf(y), "uniform").statistic
    else:
        quantiles = predicted
        losses = [
            mean_pinball_loss(y, column, alpha=q)
            for column, q in zip(quantiles.T, LEVELS, strict=True)
        ]
        crps = 2 * trapezoid(losses, LEVELS)
        distance = np.abs((y[:, None] <= quantiles).mean(axis=0) - LEVELS).max()
    covered = []
    for j in range(len(COVERAGES)):
        lower, upper = quantiles[:, j], quantiles[:, -1 - j]
        covered.append(((lower <= y) & (y <= upper)).mean())
    width = (quantiles[:, -2] - quantiles[:, 1]).mean()  # columns begin with the widest
    return [*covered[::-1], width / spread, crps / spread, distance]


def main():
    """Print a line for each model and table, and means over the tables."""
    parser = data_parser(__doc__)
    parser.add_argument("--most-rows", type=int, default=10_000)
    arguments = parser.parse_args()
    names = [f"{c:.0%}" for c in COVERAGES] + ["width", "CRPS", "PIT"]
    results = {}
    print(f"{'':<34}" + "".join(f"{name:>8}" for name in names))
    tables = load_tables(arguments.data, "regression", arguments.only, arguments.most_rows)
    for table, X, y, fold in tables:
        held_out = fold == 0
        for name, fit in MODELS.items():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                predicted = fit(X[~held_out], y[~held_out], X[held_out])
            row = judge(predicted, y[held_out], y.std())
            results.setdefault(name, []).append(row)
            print(f"{table:<14}{name:<20}" + "".join(f"{v:>8.3f}" for v in row), flush=True)
    means = {name: np.mean(rows, axis=0) for name, rows in results.items()}
    for name, rows in results.items():
        means[name] = [*means[name], np.abs(np.array(rows)[:, : len(COVERAGES)] - COVERAGES).mean()]
    names = [name.replace("%", " %") for name in names]
    print_table(f"mean of {len(results[name])} tables", [*names, "error of coverage"], means)


if __name__ == "__main__":
    main()
