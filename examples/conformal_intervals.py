"""Intervals with a guarantee: the predictive distribution of a mixture, made conformal.

The intervals of a mixture adapt to each row but have their coverage only if the model is correct.
Conformal prediction corrects their probabilities by held-out rows, so that on average over rows
they have at least their coverage, for any model. Here waiting times with a long tail are predicted
as if their noise were normal.
"""

import numpy as np
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.distributions import conformalize

COVERAGE = 0.8


def main():
    """Print coverage and mean width before and after, over random tables."""
    figures = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X = rng.uniform(-2, 2, size=(600, 1))
        y = np.abs(X[:, 0]) + rng.exponential(0.2 + np.abs(X[:, 0]), size=600)
        X_fit, X_rest, y_fit, y_rest = train_test_split(X, y, test_size=0.5, random_state=seed)
        X_held, X_test, y_held, y_test = train_test_split(
            X_rest, y_rest, test_size=0.5, random_state=seed
        )
        moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X_fit, y_fit)
        dist = moe.predict_dist(X_test)
        adjust = conformalize(moe.predict_dist(X_held), y_held)
        for predicted in (dist, adjust(dist)):
            lower, upper = predicted.interval(COVERAGE).T
            missed = [(y_test < lower).mean(), (y_test > upper).mean()]
            figures.append((*missed, 1.0 - sum(missed), (upper - lower).mean()))
    means = np.array(figures).reshape(-1, 2, 4).mean(axis=0)
    print(f"nominal coverage {COVERAGE:.0%}; means over 20 tables")
    for name, (below, above, coverage, width) in zip(("mixture", "conformal"), means, strict=True):
        print(
            f"{name:<10} coverage {coverage:.1%}   below {below:.1%}   above {above:.1%}   "
            f"width {width:.2f}"
        )


if __name__ == "__main__":
    main()
