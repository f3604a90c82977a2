"""Other packages for Python: whether they work, and how often they reach the maximum likelihood.

Each package is fitted to one small table with two regimes, a rising and a falling line, where the
regime depends on the feature. A line shows the version of a package and "fits", or its error.

Packages that fit the same model are then compared, on published tables. Tolerances are tight, and
floors of variances and penalties next to nothing, so that all maximise the same function. A fit
reaches the maximum if its log-likelihood is within 0.05 of the best value that is known: that of
tests/reference, or of the best of all fits. Printed are the seeds that reach it, by number of
starts, and for the most starts the medians of the log-likelihood and of the CPU seconds of a fit.
The gate of cgmm 0.5.1 keeps its random initial weights, so that it is not among them.

Usage: pip install cgmm stepmix em-fit smt linear-tree; python tests/benchmarks/peers.py
"""

import argparse
import contextlib
import io
import json
import time
import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
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


def skmoe_likelihood(X, y, seed, **parameters):
    """Log-likelihood that skmoe reaches; the functions below have those of other packages."""
    tight = {"alpha": 1e-9, "gate_alpha": 1e-9, "dispersion_prior": 0, "tol": 1e-9}
    options = tight | {"max_iter": 5000, "random_state": seed} | parameters
    return skmoe.MixtureOfExpertsRegressor(2, **options).fit(X, y).score_samples(X, y).sum()


def em_fit_likelihood(X, y, seed, **starts):
    from em import EM

    model = EM("linear-regression", seed=seed, tol=1e-10, reg=1e-9)
    return model.train(X, 2, n_iters=5000, y=y, **starts).loglike(X, y=y).sum()


def stepmix_likelihood(X, y, seed, **starts):
    import stepmix

    options = {"measurement": "gaussian_diag", "structural": "covariate", "progress_bar": 0}
    options |= {"max_iter": 5000, "random_state": seed} | starts
    model = stepmix.StepMix(2, **options).fit(y[:, None], X)
    return model.score(y[:, None], X) * len(y)


def published(dataset, feature, model):
    """Feature and target of a table of tests/reference, and the log-likelihood of a model."""
    path = Path(__file__).parents[1] / "reference" / "families.json"
    reference = json.loads(path.read_text(encoding="utf-8"))
    columns = reference["datasets"][dataset]["columns"]
    (known,) = (entry["loglik"] for entry in reference["models"] if entry["name"] == model)
    return np.array(columns[feature])[:, None], np.array(columns["y:1"]), known


def diabetes():
    """Three standardised features and the target of scikit-learn's table; no value is known."""
    data = load_diabetes(as_frame=True)
    X = data.data[["bmi", "s5", "bp"]].to_numpy()
    return (X - X.mean(axis=0)) / X.std(axis=0), data.target.to_numpy(), -np.inf


# Models by name: the data, options of skmoe, and the package that fits the same model.
SAME_MODELS = {
    "tones, constant gate": (
        published("tone", "stretchratio", "tone_const_k2"),
        {"gate": "constant"},
        ("em-fit", em_fit_likelihood),
    ),
    "exhausts, constant gate": (
        published("no", "NO", "no_const_k2"),
        {"gate": "constant"},
        ("em-fit", em_fit_likelihood),
    ),
    "diabetes, constant experts": (
        diabetes(),
        {"expert_features": []},
        ("stepmix", stepmix_likelihood),
    ),
}
STARTS = {"default starts": {}, "1 start": {"n_init": 1}, "8 starts": {"n_init": 8}}
# Difference of log-likelihoods up to which two maxima are the same.
SAME = 0.05


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


def likelihoods_and_seconds(fit, X, y, n_seeds):
    """Log-likelihood and CPU seconds of each fit, by number of starts and seed."""
    results = np.empty((len(STARTS), n_seeds, 2))
    for i, starts in enumerate(STARTS.values()):
        for seed in range(n_seeds):
            begin = time.process_time()
            with silence():
                likelihood = fit(X, y, seed, **starts)
            results[i, seed] = likelihood, time.process_time() - begin
    return results


def print_same_models(n_seeds):
    """Print a table of packages that fit the same models."""
    heads = " | ".join(STARTS)
    print(f"\n| model | package | {heads} | median log-likelihood | seconds |")
    print("|---|---|" + "---|" * (len(STARTS) + 2))
    for model, ((X, y, known), options, (name, fit)) in SAME_MODELS.items():
        fits = {"skmoe": partial(skmoe_likelihood, **options), name: fit}
        results = {
            package: likelihoods_and_seconds(function, X, y, n_seeds)
            for package, function in fits.items()
        }
        best = max(known, *(result[..., 0].max() for result in results.values()))
        for package, result in results.items():
            hits = (np.abs(result[..., 0] - best) < SAME).sum(axis=1)
            likelihood, seconds = np.median(result[-1], axis=0)
            reached = " | ".join(f"{count} of {n_seeds}" for count in hits)
            print(
                f"| {model} | {package} | {reached} | {likelihood:.2f} | {seconds:.2f} |",
                flush=True,
            )


def main():
    """Print a line for each package, and the table of those that fit the same models."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    n_seeds = parser.parse_args().seeds
    for name, fit in PEERS.items():
        try:
            with silence():
                result = "fits" if np.isfinite(fit()).all() else "not finite"
        except Exception as error:
            result = f"fails: {type(error).__name__}: {error}"
        release = skmoe.__version__ if name == "skmoe" else version(name)
        print(f"{name:>14} {release:>8}  {result}", flush=True)
    print_same_models(n_seeds)


if __name__ == "__main__":
    main()
