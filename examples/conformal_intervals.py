"""Intervals with a guarantee: the quantiles of a mixture, conformalised by MAPIE.

The intervals of a mixture adapt to each row but have their coverage only if the model is correct.
Conformal prediction keeps their shape and corrects their width by held-out rows, so that on average
over rows they have at least their coverage, for any model. Needs `pip install mapie`.
"""

import numpy as np
from mapie.regression import ConformalizedQuantileRegressor
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor

COVERAGE = 0.8


class Quantile(RegressorMixin, BaseEstimator):
    """One quantile of a fitted mixture as a regressor."""

    def __init__(self, mixture, q):
        self.mixture = mixture
        self.q = q

    def fit(self, X, y):
        """Nothing to do: the mixture is fitted."""
        self.fitted_ = True
        return self

    def predict(self, X):
        """The quantile of each row."""
        return self.mixture.predict_quantile(X, self.q)


def main():
    """Print coverage and mean width before and after, over random splits."""
    X, y = load_diabetes(return_X_y=True)
    figures = []
    for seed in range(10):
        X_fit, X_rest, y_fit, y_rest = train_test_split(X, y, test_size=0.5, random_state=seed)
        X_held, X_test, y_held, y_test = train_test_split(
            X_rest, y_rest, test_size=0.5, random_state=seed
        )
        moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X_fit, y_fit)
        levels = (1 - COVERAGE) / 2, (1 + COVERAGE) / 2, 0.5
        quantiles = [Quantile(moe, q).fit(X_fit, y_fit) for q in levels]
        conformal = ConformalizedQuantileRegressor(
            quantiles, confidence_level=COVERAGE, prefit=True
        ).conformalize(X_held, y_held)
        _, adapted = conformal.predict_interval(X_test)
        for interval in (moe.predict_interval(X_test, COVERAGE), adapted[:, :, 0]):
            lower, upper = interval.T
            inside = (lower <= y_test) & (y_test <= upper)
            figures.append((inside.mean(), (upper - lower).mean()))
    means = np.array(figures).reshape(-1, 2, 2).mean(axis=0)
    print(f"nominal coverage {COVERAGE:.0%}; means over 10 splits")
    for name, (coverage, width) in zip(("mixture", "conformalised"), means, strict=True):
        print(f"{name:<16}coverage {coverage:.1%}   width {width:.1f}")


if __name__ == "__main__":
    main()
