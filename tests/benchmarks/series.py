"""Regimes that persist in time: speed, coverage, and predictions one step ahead, beside peers.

    python tests/benchmarks/series.py speed
    python tests/benchmarks/series.py coverage --n-tables 200
    python tests/benchmarks/series.py decision

`speed` compares an iteration of EM with one of hmmlearn, and whole fits with statsmodels, in one
run; peers that are not installed are left out. `coverage` simulates series of two regimes, and
counts how often 95 % confidence intervals and 90 % prediction intervals contain the truth.
`decision` fits the first 70 % of each series of three public tables, and prints the mean log
density of the other rows one step ahead.
"""

import argparse
import json
import time
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from skmoe import MixtureOfExpertsRegressor

TABLES = Path(__file__).parents[1] / "reference" / "sequences.json"


def simulated(n_series, length, seed=0, stay=(0.95, 0.9)):
    """Features, target, series, time and regimes of two regimes with different slopes."""
    rng = np.random.default_rng(seed)
    regime = np.zeros((n_series, length), dtype=int)
    regime[:, 0] = rng.random(n_series) < 0.5
    for t in range(1, length):
        before = regime[:, t - 1]
        leaves = rng.random(n_series) > np.asarray(stay)[before]
        regime[:, t] = np.where(leaves, 1 - before, before)
    regime = regime.ravel()
    X = rng.normal(size=(len(regime), 1))
    mean = np.where(regime, 2.0 - X[:, 0], X[:, 0])
    y = mean + np.where(regime, 0.8, 0.5) * rng.normal(size=len(regime))
    units = np.repeat(np.arange(n_series), length)
    return X, y, units, np.tile(np.arange(length), n_series), regime


def mixture(n_experts=2, **options):
    """A mixture with constant transition probabilities."""
    options = {"gate": "markov", "gate_features": [], "random_state": 0} | options
    return MixtureOfExpertsRegressor(n_experts, **options)


# --- speed --------------------------------------------------------------------------------------


def cpu_of(call):
    """CPU seconds of a call, and its result."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def of_iteration(y, units, order):
    """CPU seconds of an iteration of EM, by the difference of fits of different lengths."""
    own = mixture(expert_features=[], alpha=0.0, dispersion_prior=0.0, n_init=1, tol=0.0)
    few, many, costs = 5, 25, []
    for n_iter in (few, many):
        own.set_params(max_iter=n_iter)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            costs.append(cpu_of(lambda: own.fit(y[:, None], y, units=units, time=order))[0])
    return (costs[1] - costs[0]) / (many - few)


def of_hmmlearn(y, lengths):
    """CPU seconds of an iteration of hmmlearn; None if it is not installed."""
    try:
        from hmmlearn.hmm import GaussianHMM
    except ImportError:
        return None
    peer = GaussianHMM(2, n_iter=10, tol=-np.inf, init_params="", implementation="scaling")
    peer.startprob_, peer.transmat_ = np.full(2, 0.5), np.array([[0.9, 0.1], [0.1, 0.9]])
    peer.means_, peer.covars_ = np.array([[0.0], [2.0]]), np.ones((2, 1))
    return cpu_of(lambda: peer.fit(y[:, None], lengths))[0] / 10


def of_statsmodels(X, y):
    """CPU seconds and log-likelihood of a fit of statsmodels."""
    from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

    model = MarkovRegression(y, k_regimes=2, exog=X, switching_variance=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seconds, result = cpu_of(lambda: model.fit(search_reps=0))
    return seconds, result.llf


def speed(options):
    """An iteration of EM beside hmmlearn, and whole fits beside statsmodels."""
    for n_series, length in ((100_000, 10), (1_000, 1_000), (1, 1_000_000)):
        _, y, units, order, _ = simulated(n_series, length)
        seconds, peer = of_iteration(y, units, order), of_hmmlearn(y, [length] * n_series)
        line = f"{n_series} x {length}: {seconds:.3f} s per iteration"
        print(
            line if peer is None else f"{line}, hmmlearn {peer:.3f} s, {peer / seconds:.2f} times"
        )
    for length in (200, 2_000, 20_000):
        X, y, *_ = simulated(1, length)
        own = mixture(alpha=0.0, dispersion_prior=0.0)
        start = time.process_time()
        reached = own.fit(X, y).lower_bound_ * length
        seconds = time.process_time() - start
        peer, of_peer = of_statsmodels(X, y)
        print(
            f"1 x {length}: {seconds:.2f} s, log-likelihood {reached:.3f}; statsmodels {peer:.2f} "
            f"s from one start, {of_peer:.3f}; {peer / seconds:.1f} times"
        )


# --- coverage -----------------------------------------------------------------------------------


def coverage(options):
    """How often intervals contain the truth."""
    truth = {
        ("expert 0", "x0"): 1.0,
        ("expert 0", "(Intercept)"): 0.0,
        ("expert 1", "x0"): -1.0,
        ("expert 1", "(Intercept)"): 2.0,
        ("transitions from expert 0", "(Intercept)"): np.log(0.05 / 0.95),
        ("transitions from expert 1", "(Intercept)"): np.log(0.1 / 0.9),
    }
    inside = {key: [] for key in truth}
    ahead = []
    for seed in range(options.n_tables):
        X, y, units, order, _ = simulated(40, 30, seed=seed)
        given = {"units": units, "time": order}
        moe = mixture().fit(X, y, **given)
        if moe.expert_coef_[0, 0] < moe.expert_coef_[1, 0]:  # numbers of the truth
            moe = mixture(init=moe.responsibilities(X, y, **given, given="all")[:, ::-1])
            moe.fit(X, y, **given)
        inference = moe.inference(X, y, **given)
        for (part, name), value in truth.items():
            found = [i for i, t in enumerate(inference.terms) if (t.part, t.name) == (part, name)]
            low, high = inference.conf_int()[found[0]]
            inside[part, name].append(low <= value <= high)
        new = simulated(40, 30, seed=seed + 100_000)
        low, high = moe.predict_interval(new[0], 0.9, y=new[1], units=new[2], time=new[3]).T
        ahead.append(np.mean((low <= new[1]) & (new[1] <= high)))
    for (part, name), values in inside.items():
        print(f"95 % intervals of {part}, {name}: {np.mean(values):.1%}")
    print(f"90 % prediction intervals one step ahead: {np.mean(ahead):.1%}")


# --- decision -----------------------------------------------------------------------------------


def lagged(y, units, n_lags=2):
    """Values of y in the rows before, NaN at the start of a series."""
    columns = []
    for lag in range(1, n_lags + 1):
        column = np.full(len(y), np.nan)
        same = units[lag:] == units[:-lag]
        column[lag:][same] = y[:-lag][same]
        columns.append(column)
    return np.column_stack(columns)


def log_density_of_hmmlearn(y, units, is_train):
    """Log densities one step ahead of the hidden Markov model with the best BIC of one to four."""
    from hmmlearn.hmm import GaussianHMM

    lengths = np.unique(units[is_train], return_counts=True)[1]
    fits = []
    for n_components in range(1, 5):
        for seed in range(5):
            model = GaussianHMM(n_components, n_iter=200, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(y[is_train, None], lengths)
            fits.append((model.bic(y[is_train, None], lengths), seed, n_components, model))
    model = min(fits, key=lambda fit: fit[:3])[-1]
    std = np.sqrt(model.covars_[:, 0, 0])
    density = np.exp(-0.5 * ((y[:, None] - model.means_.T) / std) ** 2) / std / np.sqrt(2 * np.pi)
    found, state = np.empty(len(y)), model.startprob_
    for i in range(len(y)):
        is_first = i == 0 or units[i] != units[i - 1]
        state = model.startprob_ if is_first else state @ model.transmat_
        state = state * density[i]
        found[i] = np.log(state.sum())
        state = state / state.sum()
    return found


def log_density_of_boosting(X, y, units, is_train):
    """Log densities of boosting with two lags, and normal noise of out-of-fold errors."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import KFold, cross_val_predict

    features = np.column_stack([X, lagged(y, units)])
    model = HistGradientBoostingRegressor(random_state=0)
    folds = KFold(5, shuffle=True, random_state=0)
    held_out = cross_val_predict(model, features[is_train], y[is_train], cv=folds)
    std = np.sqrt(np.mean((y[is_train] - held_out) ** 2))
    mean = model.fit(features[is_train], y[is_train]).predict(features)
    return -0.5 * ((y - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2.0 * np.pi)


def log_density_of_statsmodels(X, y, is_train):
    """Log densities one step ahead of two switching regressions of one series."""
    from statsmodels.tsa.regime_switching.markov_regression import MarkovRegression

    options = {"k_regimes": 2, "switching_variance": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train = MarkovRegression(y[is_train], exog=X[is_train], **options)
        params = train.fit(search_reps=20).params
    return MarkovRegression(y, exog=X, **options).filter(params).llf_obs


def decision(options):
    """Held-out log densities one step ahead on public tables."""
    datasets = json.loads(TABLES.read_text("utf-8"))["datasets"]
    tables = {
        "speed": ("speed", ["pacc"], "rt", False),
        "pbcseq, log of bilirubin": ("pbcseq_gamma", ["albumin"], "bili", True),
        "fedfunds": ("fedfunds", ["lag"], "y", False),
    }
    for name, (dataset, features, target, is_log) in tables.items():
        columns = datasets[dataset]["columns"]
        units = np.unique(columns["unit"], return_inverse=True)[1]
        order = np.array(columns["time"], dtype=float)
        rows = np.lexsort((order, units))
        units, order = units[rows], order[rows]
        X = np.column_stack([np.array(columns[f], dtype=float)[rows] for f in features])
        y = np.array(columns[target], dtype=float)[rows]
        y = np.log(y) if is_log else y
        sizes = np.bincount(units)
        place = np.arange(len(y)) - (np.cumsum(sizes) - sizes)[units]
        is_train = place < np.ceil(0.7 * sizes)[units]
        given = {"units": units, "time": order}
        of_train = {key: values[is_train] for key, values in given.items()}
        fits = {
            "markov": MixtureOfExpertsRegressor(gate="markov", random_state=0),
            "markov, constant transitions": mixture("auto"),
        }
        found = {
            label: moe.fit(X[is_train], y[is_train], **of_train).score_samples(X, y, **given)
            for label, moe in fits.items()
        }
        found["softmax, without time"] = (
            MixtureOfExpertsRegressor(random_state=0)
            .fit(X[is_train], y[is_train])
            .score_samples(X, y)
        )
        found["boosting with two lags"] = log_density_of_boosting(X, y, units, is_train)
        with suppress(ImportError):
            found["hmmlearn"] = log_density_of_hmmlearn(y, units, is_train)
        if len(sizes) == 1:
            found["statsmodels"] = log_density_of_statsmodels(X, y, is_train)
        held_out = ~is_train
        print(f"{name}: {is_train.sum()} rows, {held_out.sum()} held out, {len(sizes)} series")
        for label, values in found.items():
            number = f", {fits[label].n_experts_} experts" if label in fits else ""
            print(f"  {label}{number}: {values[held_out].mean():.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["speed", "coverage", "decision"])
    parser.add_argument("--n-tables", type=int, default=200, help="tables of `coverage`")
    options = parser.parse_args()
    {"speed": speed, "coverage": coverage, "decision": decision}[options.what](options)


if __name__ == "__main__":
    main()
