"""Random effects: speed beside a plain mixture and statsmodels, coverage, and numbers of regimes.

    python tests/benchmarks/random_effects.py speed --n-units 100000 --n-rows 10
    python tests/benchmarks/random_effects.py coverage --n-tables 400
    python tests/benchmarks/random_effects.py number --n-tables 100

`speed` fits three regimes with random intercepts, and without, and one regime with random slopes,
beside a linear mixed model of statsmodels where that is installed. `coverage` simulates 200 units
of two regimes, and counts how often 95 % confidence intervals contain the truth. `number` counts
how often one population, and two, with random intercepts are found as such.
"""

import argparse
import time
import warnings
from contextlib import suppress

import numpy as np

from skmoe import MixtureOfExpertsRegressor


def simulated(n_units, n_rows, seed=0, slopes=(-0.5, 1.0), sd=(1.5, 0.4)):
    """Time, y, units and regimes of units of which two fifths rise in time."""
    rng = np.random.default_rng(seed)
    units, time_of = (
        np.repeat(np.arange(n_units), n_rows),
        np.tile(np.arange(n_rows) * 1.0, n_units),
    )
    regime = (rng.random(n_units) < 0.4).astype(int)[units]
    effects = np.array(sd)[:, None] * rng.normal(size=(2, n_units))
    y = 3.0 * regime + np.array(slopes)[regime] * time_of
    y += effects[0, units] + effects[1, units] * time_of + rng.normal(size=len(units))
    return time_of[:, None], y, units, regime


def cpu_of(call):
    """CPU seconds of a call, and its result."""
    start = time.process_time()
    result = call()
    return time.process_time() - start, result


def speed(n_units, n_rows):
    """Prints CPU seconds of fits."""
    X, y, units, _ = simulated(n_units, n_rows, sd=(1.5, 0.0))
    for random_features in ([], None):
        moe = MixtureOfExpertsRegressor(3, gate="constant", random_features=random_features)
        cpu, _ = cpu_of(lambda moe=moe: moe.set_params(random_state=0).fit(X, y, units=units))
        print(f"three regimes, random_features={random_features}: {cpu:.2f} s of CPU")
    X, y, units, _ = simulated(n_units, n_rows, slopes=(0.5, 0.5))
    one = MixtureOfExpertsRegressor(1, random_features=[0], alpha=0, dispersion_prior=0)
    print(
        f"one regime, random slopes: {cpu_of(lambda: one.fit(X, y, units=units))[0]:.2f} s of CPU"
    )
    with suppress(ImportError):
        import statsmodels.api as sm

        columns = sm.add_constant(X)
        peer = sm.MixedLM(y, columns, groups=units, exog_re=columns)
        print(f"the same by statsmodels: {cpu_of(lambda: peer.fit(reml=False))[0]:.2f} s of CPU")


def coverage(n_tables, n_units=200):
    """Prints the share of tables in which 95 % intervals contain the truth, in percent."""
    effects = {"var(intercept)": 2.25, "cov(intercept, x0)": 0.0, "var(x0)": 0.16}
    hits = {}
    for seed in range(n_tables):
        X, y, units, _ = simulated(n_units, 5, seed)
        moe = MixtureOfExpertsRegressor(2, gate="constant", random_features=[0], random_state=0)
        inference = moe.fit(X, y, units=units).inference(X, y, units=units)
        falls, rises = (moe.expert_names_[k] for k in np.argsort(moe.expert_coef_[:, 0]))
        truth = {(falls, "(Intercept)"): 0.0, (falls, "x0"): -0.5}
        truth |= {(rises, "(Intercept)"): 3.0, (rises, "x0"): 1.0}
        truth |= {("all experts", name): value for name, value in effects.items()}
        for (part, _, name), (low, high) in zip(inference.terms, inference.conf_int(), strict=True):
            if (part, name) in truth:
                key = ({falls: "falls", rises: "rises"}.get(part, part), name)
                hits.setdefault(key, []).append(low < truth[part, name] < high)
    for key, own in hits.items():
        print(f"{' '.join(key)}: {100 * np.mean(own):.1f}")


def number(n_tables, n_units=200):
    """Prints how often the number of regimes is found, in percent."""
    for n_regimes, slopes in ((1, (-0.3, -0.3)), (2, (-0.3, 1.0))):
        for name, random_features in (("random intercepts", []), ("without", None)):
            found = []
            for seed in range(n_tables):
                X, y, units, regime = simulated(n_units, 5, seed, slopes, sd=(2.0, 0.0))
                y = y - 3.0 * regime
                moe = MixtureOfExpertsRegressor(gate="constant", random_features=random_features)
                found.append(moe.set_params(random_state=0).fit(X, y, units=units).n_experts_)
            right = 100 * np.mean(np.array(found) == n_regimes)
            print(f"{n_regimes} population(s), {name}: {right:.0f} % right, {np.bincount(found)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["speed", "coverage", "number"])
    parser.add_argument("--n-units", type=int, default=10_000)
    parser.add_argument("--n-rows", type=int, default=5)
    parser.add_argument("--n-tables", type=int, default=100)
    given = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    if given.what == "speed":
        speed(given.n_units, given.n_rows)
    else:
        {"coverage": coverage, "number": number}[given.what](given.n_tables)


if __name__ == "__main__":
    main()
