"""Coverage of 95 % intervals of predictions for a new row, and of average effects at a time.

Usage: python tests/benchmarks/predictions.py [--simulations 250] [--rows 600] [--case NAME ...]
"""

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from scipy.integrate import trapezoid
from scipy.optimize import brentq
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parents[1]))
from markdown import print_table

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.inspection import average_effects

# Of each regime: intercept, slope of age, and effect of the treatment; and the shapes of Weibull
# times, or standard deviations of normal values.
EXPERTS = {
    "weibull, one expert": (np.array([[0.5, -0.3, 0.5]]), np.array([1.5])),
    "weibull, two experts": (np.array([[0.0, -0.3, 0.0], [2.0, -0.3, 0.5]]), np.array([1.5, 3.0])),
    "normal, two experts": (np.array([[0.0, 0.5, 1.0], [3.0, -0.5, -0.5]]), np.array([0.8, 1.2])),
}
QUANTITIES = {
    "survival": "survival at 2",
    "quantile": "median",
    "restricted_mean": "restricted mean",
    "mean": "mean",
    "effect on survival": "effect on survival",
    "effect on restricted_mean": "effect on restricted mean",
}
GATE_SLOPE, TIME, GRID = 1.5, 2.0, np.linspace(0.0, 2.0, 401)
NEW = np.array([[0.5, 1.0]])
LEAST = {"weibul": 0.0, "normal": -50.0}


def survival(case, X, times):
    """True probabilities (n, T) of a value above some times."""
    coefficients, spreads = EXPERTS[case]
    mean = np.column_stack([np.ones(len(X)), X]) @ coefficients.T
    share = gate(X, len(spreads))
    points = np.asarray(times)[None, :, None]
    if case.startswith("weibull"):
        own = np.exp(-((points / np.exp(mean[:, None])) ** spreads))
    else:
        own = norm.sf(points, mean[:, None], spreads)
    return np.einsum("nk,ntk->nt", share, own)


def gate(X, n_experts):
    """True probabilities (n, K) of the regimes."""
    second = 1.0 / (1.0 + np.exp(-GATE_SLOPE * X[:, 0]))
    return np.column_stack([1.0 - second, second]) if n_experts > 1 else np.ones((len(X), 1))


def simulate(case, n_rows, seed):
    """Age and treatment of rows, and y."""
    rng = np.random.default_rng(seed)
    X = np.column_stack([rng.normal(size=n_rows), rng.integers(2, size=n_rows)])
    coefficients, spreads = EXPERTS[case]
    regime = (rng.uniform(size=n_rows) < gate(X, len(spreads))[:, -1]).astype(int) * (
        len(spreads) > 1
    )
    mean = (np.column_stack([np.ones(n_rows), X]) * coefficients[regime]).sum(axis=1)
    if case.startswith("normal"):
        return X, mean + spreads[regime] * rng.normal(size=n_rows)
    time = np.exp(mean) * (-np.log(rng.uniform(size=n_rows))) ** (1.0 / spreads[regime])
    end = rng.uniform(1.0, 12.0, size=n_rows)
    return X, right_censored(np.minimum(time, end), time <= end)


def truths(case, X):
    """True quantities of the new row, and the effects of the treatment."""
    treated = [np.column_stack([X[:, 0], np.full(len(X), arm)]) for arm in (0.0, 1.0)]
    at = [survival(case, rows, GRID) for rows in treated]
    found = {
        "survival": survival(case, NEW, [TIME])[0, 0],
        "quantile": brentq(lambda q: survival(case, NEW, [q])[0, 0] - 0.5, LEAST[case[:6]], 50.0),
    }
    if case.startswith("normal"):
        coefficients, _ = EXPERTS[case]
        found["mean"] = float(gate(NEW, 2)[0] @ (coefficients @ [1.0, *NEW[0]]))
        return found
    found["restricted_mean"] = trapezoid(survival(case, NEW, GRID)[0], GRID)
    found["effect on survival"] = (at[1] - at[0])[:, -1].mean()
    found["effect on restricted_mean"] = trapezoid(at[1] - at[0], GRID).mean()
    return found


def covered(case, n_rows, seed):
    """Whether intervals hold the truth, by quantity."""
    X, y = simulate(case, n_rows, seed)
    family, n_experts = case.split(",")[0], len(EXPERTS[case][1])
    moe = MixtureOfExpertsRegressor(
        n_experts,
        family=family,
        gate_features=[0] if n_experts > 1 else None,
        random_state=seed,
        **{"alpha": 1e-6, "gate_alpha": 1e-6, "dispersion_prior": 0.0},
    ).fit(X, y)
    inference, found = moe.inference(X, y), {}
    for what, truth in truths(case, X).items():
        quantity = what.removeprefix("effect on ")
        time = TIME if quantity in ("survival", "restricted_mean") else None
        if quantity != what:
            given = {"features": [1], "what": quantity, "time": time}
            low, high = average_effects(moe, X, inference=inference, **given).conf_int()[0]
        else:
            low, high = inference.predictions(NEW, what=what, time=time).iloc[0, 2:]
        found[what] = low <= truth <= high
    return found


def main():
    """Print the shares for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=250)
    parser.add_argument("--rows", type=int, default=600)
    parser.add_argument("--case", nargs="*", default=list(EXPERTS))
    options = parser.parse_args()
    rows = {}
    for case in options.case:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = [covered(case, options.rows, seed) for seed in range(options.simulations)]
        rows[case] = [np.mean([each.get(what, np.nan) for each in found]) for what in QUANTITIES]
    title = f"{options.rows} rows, {options.simulations} simulations"
    print_table(title, QUANTITIES.values(), rows)


if __name__ == "__main__":
    main()
