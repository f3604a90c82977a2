"""Held-out scores of times of events: Cox and Weibull models of lifelines, and mixtures.

Usage: pip install lifelines; python tests/benchmarks/survival.py [--folds 5] [--repeats 1]
       python tests/benchmarks/survival.py --maxima
"""

import argparse
import time
import warnings

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


def print_maxima(name):
    """Print log-likelihoods of one family and of a cure model, beside those of lifelines."""
    X, times, event = table(name)
    y, constant = right_censored(times, event), np.zeros((len(X), 1))
    frame = X.assign(_time=times, _event=event)
    fitters = {"weibull": lifelines.WeibullAFTFitter, "lognormal": lifelines.LogNormalAFTFitter}
    for family, fitter in fitters.items():
        other = fitter().fit(frame, "_time", "_event")
        moe = MixtureOfExpertsRegressor(1, family=family, **UNPENALISED).fit(X, y)
        own = moe.score_samples(X, y).sum()
        print(f"| {name}, {family} | {own:.4f} | {other.log_likelihood_:.4f} |", flush=True)
    cure = lifelines.MixtureCureFitter(base_fitter=lifelines.WeibullFitter()).fit(times, event)
    options = MIXTURES["never + Weibull"] | {"gate": "constant", "random_state": 0} | UNPENALISED
    moe = MixtureOfExpertsRegressor(**options).fit(constant, y)
    own = moe.score_samples(constant, y).sum()
    print(f"| {name}, cure | {own:.4f} | {cure.log_likelihood_:.4f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Held-out scores of times of events.")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=list(TABLES))
    parser.add_argument("--maxima", action="store_true", help="log-likelihoods beside lifelines")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in given.only:
        if given.maxima:
            print_maxima(name)
            continue
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
