"""Repeated observations: what units find, and what they cost.

`recovery`: adjusted Rand index of the regimes of 300 units of 5 rows, whose regimes overlap in X,
with units and for rows alone. `number`: how often n_experts="auto" finds the number of regimes.
`degrees`: how often, at the number of experts with the best BIC, a summary concludes that units
differ by degrees, of one population with a random intercept and of groups.
`speed`: processor time of a fit with units over that of the same fit without, in turn.

Usage: python tests/benchmarks/units.py [--only NAME ...] [--seeds N] [--rows N]
"""

import argparse
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

sys.path.insert(0, str(Path(__file__).parents[1]))
from markdown import print_table

from skmoe import MixtureOfExpertsRegressor
from support.tables import panel


def recovery(options):
    """Agreement of experts and regimes."""
    found = []
    for seed in range(options.seeds):
        X, y, units, regimes = panel(300, 5, seed=seed)
        moe = MixtureOfExpertsRegressor(3, gate="constant", random_state=0)
        by_unit = moe.fit(X, y, units=units).responsibilities(X, y, units=units).proba
        by_row = moe.fit(X, y).responsibilities(X, y)
        found.append(
            (
                adjusted_rand_score(regimes, by_unit.argmax(axis=1)),
                adjusted_rand_score(regimes[units], by_row.argmax(axis=1)),
            )
        )
    by_unit, by_row = np.array(found).T
    print(f"adjusted Rand index over {options.seeds} seeds: median, smallest and largest")
    for name, values in (("units", by_unit), ("rows alone", by_row)):
        print(f"  {name:12s} {np.median(values):.3f} {values.min():.3f} {values.max():.3f}")


def number(options):
    """Number of experts that is chosen for three regimes."""
    chosen = Counter()
    for seed in range(options.seeds):
        X, y, units, _ = panel(300, 5, seed=seed)
        moe = MixtureOfExpertsRegressor("auto", gate="constant", random_state=0)
        chosen[moe.fit(X, y, units=units).n_experts_] += 1
    print(f'n_experts="auto" over {options.seeds} seeds, 3 regimes: {dict(sorted(chosen.items()))}')


# Units, rows of each, and features.
SIZES = [(100, 5, 1), (100, 5, 6), (300, 8, 1), (300, 8, 6)]

# Populations: deviation of a random intercept, distance of groups, and their shares.
POPULATIONS = {
    "random intercept, deviation .7": (0.7, 0.0, [1.0]),
    "random intercept, deviation 1.2": (1.2, 0.0, [1.0]),
    "two groups, distance 1.5": (0.0, 1.5, [0.6, 0.4]),
    "two groups, distance 2": (0.0, 2.0, [0.6, 0.4]),
    "three groups, distance 1.5": (0.0, 1.5, [1 / 3] * 3),
    "three groups, distance 2": (0.0, 2.0, [1 / 3] * 3),
}


def degrees(options):
    """Shares of the tables in which units are concluded to differ by degrees."""
    sizes = {f"{u} units, {n} rows, {p} features": (u, n, p) for u, n, p in SIZES}
    table = {}
    for name, (spread, gap, shares) in POPULATIONS.items():
        table[name] = []
        for n_units, n_rows, n_features in sizes.values():
            n_found = 0
            for seed in range(options.seeds):
                rng = np.random.default_rng(seed)
                units = np.repeat(np.arange(n_units), n_rows)
                X = rng.normal(size=(len(units), n_features))
                level = spread * rng.normal(size=n_units)
                level += gap * rng.choice(len(shares), size=n_units, p=shares)
                y = level[units] + X[:, 0] + rng.normal(size=len(units))
                best, lowest = None, np.inf
                for number in range(1, 8):
                    moe = MixtureOfExpertsRegressor(number, gate="constant", n_init=4, alpha=0.1)
                    moe.set_params(random_state=0).fit(X, y, units=units)
                    bic = moe.bic(X, y, units=units)
                    if bic > lowest and number > best.n_experts_ + 1:
                        break
                    best, lowest = (moe, bic) if bic < lowest else (best, lowest)
                n_found += any("are too large then" in note for note in best.summary().notes)
            table[name].append(n_found / options.seeds)
    print_table("population", list(sizes), table)


def speed(options):
    """Seconds per iteration with units and without, for a gate with and without features."""
    n_rows, n_units = options.rows, options.rows // 5
    rng = np.random.default_rng(0)
    units = np.repeat(np.arange(n_units), 5)
    Z = rng.normal(size=(n_units, 10))
    X = np.repeat(Z, 5, axis=0)
    X[:, :5] = rng.normal(size=(n_rows, 5))
    regimes = np.argmax(Z[:, 5:8] + rng.gumbel(size=(n_units, 3)), axis=1)[units]
    coef = rng.normal(size=(3, 10))
    y = np.einsum("nd,nd->n", X, coef[regimes]) + 0.5 * rng.normal(size=n_rows)
    order = rng.permutation(n_rows)
    X, y, units = X[order], y[order], units[order]
    for gate in ("softmax", "constant"):
        model = MixtureOfExpertsRegressor(
            3, gate=gate, gate_features=range(5, 10), n_init=1, random_state=0, tol=0.0
        )
        seconds = {"rows": [], "units": []}
        for _ in range(options.repeats):
            for name, given in (("rows", {}), ("units", {"units": units})):
                model.set_params(max_iter=options.iterations)
                start = time.process_time()
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    model.fit(X, y, **given)
                seconds[name].append(time.process_time() - start)
        rows, of_units = (min(values) for values in seconds.values())
        print(
            f"{n_rows} rows, {n_units} units, 3 experts, {options.iterations} iterations, {gate} "
            f"gate: {rows:.2f} s for rows, {of_units:.2f} s with units, ratio {of_units / rows:.2f}"
        )


SECTIONS = {"recovery": recovery, "number": number, "degrees": degrees, "speed": speed}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--iterations", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=2)
    options = parser.parse_args()
    for name in options.only:
        SECTIONS[name](options)


if __name__ == "__main__":
    main()
