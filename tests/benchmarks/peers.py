"""Other packages for Python, fitted to one small table: their versions, and whether they work.

The table has two regimes, a rising and a falling line, and the regime depends on the feature. A
line shows the version of a package and "fits", or the error that it raises. Nothing is compared.

Usage: pip install cgmm stepmix em-fit smt linear-tree; python tests/benchmarks/peers.py
"""

import contextlib
import io
import warnings
from importlib.metadata import version

import numpy as np
from sklearn.linear_model import LinearRegression
from sklearn.mixture import GaussianMixture

import skmoe


def table(seed):
    """Feature and target of 300 rows."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, size=300)
    rises = x + 0.1 * rng.normal(size=300) > 0
    return x[:, None], np.where(rises, x, -x) + 0.1 * rng.normal(size=300)


X, Y = table(0)
X_NEW, _ = table(1)


def fit_skmoe():
    model = skmoe.MixtureOfExpertsRegressor(2, random_state=0)
    return model.fit(X, Y).predict(X_NEW)


def fit_cgmm():
    import cgmm

    model = cgmm.MixtureOfExpertsRegressor(n_components=2, n_init=4, random_state=0)
    return model.fit(X, Y).predict(X_NEW)


def fit_stepmix():
    import stepmix

    options = {"measurement": "gaussian_full", "structural": "covariate", "progress_bar": 0}
    model = stepmix.StepMix(n_components=2, random_state=0, **options)
    rows = np.column_stack([X, Y])
    return model.fit(rows, X).predict(rows, X)


def fit_em_fit():
    from em import EM

    model = EM("linear-regression", seed=0)
    return model.train(X, n_groups=2, n_init=4, y=Y).predict_proba(X, y=Y)


def fit_smt():
    from smt.applications.moe import MOE

    model = MOE(n_clusters=2, xt=X, yt=Y[:, None])
    model.train()
    return model.predict_values(X_NEW)


def fit_linear_tree():
    from lineartree import LinearTreeRegressor

    return LinearTreeRegressor(LinearRegression()).fit(X, Y).predict(X_NEW)


def fit_scikit_learn():
    rows = np.column_stack([X, Y])
    return GaussianMixture(2, n_init=4, random_state=0).fit_predict(rows)


PEERS = {
    "skmoe": fit_skmoe,
    "cgmm": fit_cgmm,
    "stepmix": fit_stepmix,
    "em-fit": fit_em_fit,
    "smt": fit_smt,
    "linear-tree": fit_linear_tree,
    "scikit-learn": fit_scikit_learn,
}


@contextlib.contextmanager
def silence():
    """Hide warnings, lines and progress bars."""
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def main():
    """Print a line for each package."""
    for name, fit in PEERS.items():
        try:
            with silence():
                result = "fits" if np.isfinite(fit()).all() else "not finite"
        except Exception as error:
            result = f"fails: {type(error).__name__}: {error}"
        release = skmoe.__version__ if name == "skmoe" else version(name)
        print(f"{name:>14} {release:>8}  {result}", flush=True)


if __name__ == "__main__":
    main()
