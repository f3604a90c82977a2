"""Held-out scores of times of events: Cox and Weibull models of lifelines, and mixtures.

Usage: pip install lifelines; python tests/benchmarks/survival.py [--folds 5] [--repeats 1]
       python tests/benchmarks/survival.py --maxima
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import autograd.numpy as anp
import lifelines
import numpy as np
import pandas as pd
from lifelines import datasets
from markdown import print_table
from sklearn.model_selection import RepeatedKFold

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.metrics import concordance_index, integrated_brier_score

# Tables of lifelines: how to load each, and its columns of times and events.
TABLES = {
    "rossi": (datasets.load_rossi, "week", "arrest"),
    "gbsg2": (datasets.load_gbsg2, "time", "cens"),
    "lung": (lambda: datasets.load_lung().drop(columns=["inst", "meal.cal"]), "time", "status"),
    "kidney": (datasets.load_kidney_transplant, "time", "death"),
}

# Keyword arguments of mixtures.
MIXTURES = {
    "one Weibull": {"n_experts": 1, "family": "weibull"},
    "never + Weibull": {"n_experts": 2, "family": ["never", "weibull"]},
    "two Weibull": {"n_experts": 2, "family": "weibull"},
    "two lognormal": {"n_experts": 2, "family": "lognormal"},
    "auto, Weibull": {"n_experts": "auto", "family": "weibull"},
}


def table(name):
    """Standardised features, times and events."""
    load, time_column, event_column = TABLES[name]
    frame = load().dropna()
    y = frame.pop(time_column).to_numpy(float), frame.pop(event_column).to_numpy() == 1
    X = pd.get_dummies(frame, drop_first=True, dtype=float)
    return (X - X.mean()) / X.std(), *y


def by_lifelines(fitter, train, test, grid):
    """Survival functions of a model of lifelines, which has no log densities of new rows."""
    X, times, event = train
    frame = X.assign(_time=times, _event=event)
    fitter.fit(frame, "_time", "_event")
    survival = fitter.predict_survival_function(test[0], times=grid).to_numpy().T
    return survival, np.nan


def by_mixture(options, train, test, grid):
    """Survival functions of a mixture, and the mean log density."""
    X, times, event = train
    moe = MixtureOfExpertsRegressor(random_state=0, **options)
    moe.fit(X, right_censored(times, event))
    survival = moe.predict_dist(test[0]).sf(grid[None])
    return survival, moe.score_samples(test[0], right_censored(*test[1:])).mean()


def models():
    """Functions of rows for training, rows for tests, and times."""
    fitters = {
        "Cox (lifelines)": lambda: lifelines.CoxPHFitter(penalizer=0.01),
        "Weibull AFT (lifelines)": lambda: lifelines.WeibullAFTFitter(penalizer=0.01),
    }
    for name, make in fitters.items():
        yield name, lambda *given, make=make: by_lifelines(make(), *given)
    for name, options in MIXTURES.items():
        yield name, lambda *given, options=options: by_mixture(options, *given)


# Options of fits by maximum likelihood.
UNPENALISED = {"alpha": 0, "gate_alpha": 0, "dispersion_prior": 0.0, "max_iter": 3000}

DESIGNS = Path(__file__).parents[1] / "reference" / "designs.json"
REFERENCE = json.loads(DESIGNS.read_text(encoding="utf-8"))


class GompertzAFT(lifelines.fitters.ParametricRegressionFitter):
    """The accelerated Gompertz model, which lifelines fits by its cumulative hazard."""

    _fitted_parameter_names = ("level_", "scale_")  # in order, or else errors are of others

    def _cumulative_hazard(self, params, times, columns):
        scale = anp.exp(anp.dot(columns["scale_"], params["scale_"]))
        level = anp.exp(anp.dot(columns["level_"], params["level_"]))
        return level * anp.expm1(times / scale)


FITTERS = {
    "weibull": lifelines.WeibullAFTFitter,
    "lognormal": lifelines.LogNormalAFTFitter,
    "loglogistic": lifelines.LogLogisticAFTFitter,
    "gompertz": GompertzAFT,
}


def of_lifelines(family, X, times, event, entry=None):
    """Log-likelihood of a model of lifelines, and the standard errors of its slopes."""
    unit = np.mean(times)  # in which its search converges
    frame, given = X.assign(_time=times / unit, _event=event), {"formula": " + ".join(X)}
    if entry is not None:
        frame, given["entry_col"] = frame.assign(_entry=entry / unit), "_entry"
    if family == "gompertz":
        given = {"regressors": {"level_": "1", "scale_": given["formula"]}}
    fitted = FITTERS[family]().fit(frame, "_time", "_event", **given)
    first = "scale_" if family == "gompertz" else fitted.standard_errors_.index[0][0]
    errors = fitted.standard_errors_.loc[first][list(X)].to_numpy()
    return fitted.log_likelihood_ - np.sum(event) * np.log(unit), errors


def of_mixture(families, X, y, features=None):
    """The same of one expert, for one time or several."""
    given = {"expert_features": features, "tol": 1e-10} | UNPENALISED
    moe = MixtureOfExpertsRegressor(1, family=families, **given).fit(X, y)
    inference = moe.inference(X, y)
    is_slope = [term.name in X for term in inference.terms]
    return moe.score_samples(X, y).sum(), inference.standard_errors[is_slope]


def print_maxima(names):
    """Print maxima of single experts and of a cure model, beside those of lifelines."""
    pairs = {}
    for name in names:
        X, times, event = table(name)
        X.columns = [column.replace(".", "_").replace(">", "over") for column in X]
        y = right_censored(times, event)
        for family in FITTERS:
            pair = of_mixture(family, X, y), of_lifelines(family, X, times, event)
            pairs[f"{name}, {family}"] = pair
        cure = lifelines.MixtureCureFitter(base_fitter=lifelines.WeibullFitter()).fit(times, event)
        options = MIXTURES["never + Weibull"] | {"gate": "constant", "random_state": 0}
        constant = np.zeros((len(X), 1))
        moe = MixtureOfExpertsRegressor(**options | UNPENALISED).fit(constant, y)
        own = moe.score_samples(constant, y).sum()
        pairs[f"{name}, cure"] = (own, np.empty(0)), (cure.log_likelihood_, np.empty(0))
    given = pd.DataFrame(REFERENCE["datasets"]["channing"]["columns"]).astype(float)
    X, event = given[["male"]], np.isfinite(given["upper"])
    y = right_censored(given["lower"], event, entry=given["entry"])
    for family in ("weibull", "lognormal"):
        other = of_lifelines(family, X, given["lower"], event, given["entry"])
        pairs[f"channing, delayed entry, {family}"] = of_mixture(family, X, y), other
    given = pd.DataFrame(REFERENCE["datasets"]["mgus2"]["columns"]).astype(float)
    features = {"0": ["mspike"], "1": ["male", "hgb"]}  # of the causes: progression, and death
    y, others = {}, []
    for cause, own in features.items():
        times, event = given[f"lower{cause}"], np.isfinite(given[f"upper{cause}"])
        y[cause] = right_censored(times, event, entry=given["entry"])
        others.append(of_lifelines("weibull", given[own], times, event, given["entry"]))
    X = given[["mspike", "male", "hgb"]]
    found = of_mixture(dict.fromkeys(y, "weibull"), X, y, features)
    both = sum(own[0] for own in others), np.concatenate([own[1] for own in others])
    pairs["mgus2, two causes, delayed entry, weibull"] = found, both
    rows = {}
    for label, ((own, errors), (other, of_other)) in pairs.items():
        distance = np.abs(errors / of_other - 1.0).max(initial=0.0)
        shown = f"{distance:.0e}" if len(errors) else ""
        rows[label] = [f"{own:.4f}", f"{other:.4f}", shown]
    columns = ["log-likelihood", "of lifelines", "largest relative difference of errors"]
    print_table("one expert", columns, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Held-out scores of times of events.")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(TABLES))
    parser.add_argument("--maxima", action="store_true", help="log-likelihoods beside lifelines")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    if given.maxima:
        print_maxima(given.only)
        return
    for name in given.only:
        X, times, event = table(name)
        grid = np.linspace(times[event].min(), np.quantile(times[event], 0.95), 50)
        splits = RepeatedKFold(n_splits=given.folds, n_repeats=given.repeats, random_state=0)
        means = {}
        for label, predict in models():
            scores, start = [], time.process_time()
            for train, test in splits.split(X):
                rows = [(X.iloc[part], times[part], event[part]) for part in (train, test)]
                survival, log_density = predict(*rows, grid)
                end, (_, until, seen) = grid[-1], rows[1]
                y = right_censored(until, seen)
                before_end = right_censored(np.minimum(until, end), seen & (until <= end))
                concordance = concordance_index(before_end, survival.mean(axis=1))
                scores.append([log_density, concordance, integrated_brier_score(y, survival, grid)])
            seconds = (time.process_time() - start) / len(scores)
            means[label] = [*np.mean(scores, axis=0), seconds]
        title = f"{name}, {len(X)} rows, {event.mean():.0%} events"
        print_table(title, ["log density", "concordance", "Brier score", "seconds"], means)


if __name__ == "__main__":
    main()
