"""Other packages for Python, fitted to one small table: their versions, and whether they still work.

The table has two regimes, a rising and a falling line, and the regime depends on the feature. Shown
is R² of new rows, for packages without predictions the adjusted Rand index of the regimes, and the
error of those that fail.

Usage: pip install cgmm stepmix smt linear-tree; python tests/benchmarks/peers.py
"""

import contextlib
import io
import warnings
from importlib.metadata import version

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.metrics import adjusted_rand_score, r2_score
from sklearn.mixture import GaussianMixture

from skmoe import MixtureOfExpertsRegressor


def table(seed):
    """Feature, target and regime of 300 rows."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=300)
    regime = (x + 0.1 * rng.normal(size=300) > 0).astype(int)
    return x[:, None], np.where(regime, x, -x) + 0.1 * rng.normal(size=300), regime


X, Y, REGIME = table(0)
X_NEW, Y_NEW, _ = table(1)


def skmoe():
    return r2_score(Y_NEW, MixtureOfExpertsRegressor(2, random_state=0).fit(X, Y).predict(X_NEW))


def cgmm():
    import cgmm

    model = cgmm.MixtureOfExpertsRegressor(n_components=2, n_init=4, random_state=0)
    return r2_score(Y_NEW, model.fit(X, Y).predict(X_NEW))


def stepmix():
    import stepmix

    options = {"measurement": "gaussian_full", "structural": "covariate", "progress_bar": 0}
    model = stepmix.StepMix(n_components=2, random_state=0, **options)
    rows = np.column_stack([X, Y])
    return adjusted_rand_score(REGIME, model.fit(rows, X).predict(rows, X))


def smt():
    from smt.applications.moe import MOE

    model = MOE(n_clusters=2, xt=X, yt=Y[:, None])
    model.train()
    return r2_score(Y_NEW, model.predict_values(X_NEW)[:, 0])


def linear_tree():
    from lineartree import LinearTreeRegressor

    return LinearTreeRegressor(LinearRegression()).fit(X, Y).score(X_NEW, Y_NEW)


def scikit_learn():
    rows = np.column_stack([X, Y])
    labels = GaussianMixture(2, n_init=4, random_state=0).fit_predict(rows)
    return adjusted_rand_score(REGIME, labels)


PEERS = {
    "skmoe": skmoe,
    "cgmm": cgmm,
    "stepmix": stepmix,
    "smt": smt,
    "linear-tree": linear_tree,
    "scikit-learn": scikit_learn,
}


def main():
    """Print a line for each package."""
    for name, fit in PEERS.items():
        try:
            with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = f"{fit():.3f}"
        except Exception as error:
            result = f"fails: {type(error).__name__}: {error}"
        print(f"{name:>14} {version(name):>8}  {result}", flush=True)


if __name__ == "__main__":
    main()
