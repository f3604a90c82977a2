"""How well n_experts="auto" counts regimes, and what it costs.

Simulated: 1 to 6 regimes along the first of three features, 1000 rows; how often the number is
found, and CPU time over that of one fit with the number chosen. Panels of one regression and seven
rows for each of 595 people, with an effect of the person: the numbers chosen with and without
groups. Real tables (with --data): mean log density of fold 1 for each fixed number and for the
number chosen from the other folds; fold 0 stays untouched.

Usage: python tests/benchmarks/n_experts.py [--data DIR]
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from tables import load_tables

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

FIXED = (1, 2, 4, 8, 16)


def simulate(n_regimes, seed, n_rows=1000):
    """Linear regressions that change with the first feature."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    regime = np.digitize(X[:, 0], np.quantile(X[:, 0], np.arange(1, n_regimes) / n_regimes))
    coef, intercept = 2 * rng.normal(size=(n_regimes, 3)), 3 * rng.normal(size=n_regimes)
    return X, intercept[regime] + (X * coef[regime]).sum(axis=1) + 0.3 * rng.normal(size=n_rows)


def timed(moe, X, y, groups=None):
    """The fitted estimator and CPU seconds."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(X, y, groups=groups)
    return moe, time.process_time() - begin


def count(n_seeds, how):
    """Print how often each number is found."""
    print(f"n_experts={how!r}, {n_seeds} simulated tables each")
    print(f"{'regimes':>8}{'found':>8}{'cost':>8}   numbers chosen")
    for n_regimes in range(1, 7):
        chosen, seconds = [], np.zeros(2)
        for seed in range(n_seeds):
            X, y = simulate(n_regimes, seed)
            moe, open_seconds = timed(MixtureOfExpertsRegressor(how, random_state=0), X, y)
            fixed = MixtureOfExpertsRegressor(moe.n_experts_, random_state=0)
            chosen.append(moe.n_experts_)
            seconds += open_seconds, timed(fixed, X, y)[1]
        found = np.mean(np.array(chosen) == n_regimes)
        counts = ", ".join(f"{k}: {chosen.count(k)}" for k in sorted(set(chosen)))
        print(f"{n_regimes:>8}{found:>8.0%}{seconds[0] / seconds[1]:>8.1f}   {counts}", flush=True)


def simulate_panel(seed, n_people=595, n_years=7):
    """One regression with an effect of the person: X, y and the person of each row."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_people), n_years)
    constant = np.column_stack([rng.integers(4, 18, n_people), rng.normal(size=(n_people, 2))])
    year = np.tile(np.arange(n_years), n_people)
    X = np.column_stack([constant[person], rng.integers(1, 40, n_people)[person] + year])
    effect = 0.9 * rng.normal(size=n_people)[person]
    return X, X @ [0.08, 0.0, 0.0, 0.02] + effect + 0.3 * rng.normal(size=len(person)), person


def count_panels(n_seeds):
    """Print the number that is chosen for each panel, without and with groups."""
    print(f"\nn_experts='auto', {n_seeds} panels of one regression")
    for title, uses_groups in (("without groups", False), ("with groups", True)):
        chosen = []
        for seed in range(n_seeds):
            X, y, person = simulate_panel(seed)
            moe = MixtureOfExpertsRegressor("auto", random_state=0)
            chosen.append(timed(moe, X, y, person if uses_groups else None)[0].n_experts_)
        print(f"{title:>16}: {chosen}", flush=True)


def compare(folder, most_rows):
    """Print the score of every fixed number, and of the number chosen."""
    for task, kind in (
        ("regression", MixtureOfExpertsRegressor),
        ("classification", MixtureOfExpertsClassifier),
    ):
        print(f"\n{task}: log density of held-out rows less that of the best fixed number")
        print(
            f"{'':<14}" + "".join(f"{k:>9}" for k in FIXED) + f"{'auto':>9}{'chosen':>8}{'cost':>7}"
        )
        gaps = []
        for table, X, y, fold in load_tables(folder, task):
            rows = np.random.default_rng(0).permutation(np.flatnonzero(fold >= 2))[:most_rows]
            models = [timed(kind(k, random_state=0), X[rows], y[rows]) for k in FIXED]
            models.append(timed(kind("auto", random_state=0), X[rows], y[rows]))
            found, seconds = models[-1]
            once = timed(kind(found.n_experts_, random_state=0), X[rows], y[rows])[1]
            scores = [moe.score_samples(X[fold == 1], y[fold == 1]).mean() for moe, _ in models]
            gaps.append(np.array(scores) - max(scores[:-1]))
            print(
                f"{table:<14}"
                + "".join(f"{gap:>9.3f}" for gap in gaps[-1])
                + f"{found.n_experts_:>8}{seconds / once:>7.1f}",
                flush=True,
            )
        print(f"{'mean':<14}" + "".join(f"{gap:>9.3f}" for gap in np.mean(gaps, axis=0)))


def main():
    """Simulated tables first, real ones if there are any."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of real tables")
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--how", choices=["auto", "bic", "icl"], default="auto")
    parser.add_argument("--most-rows", type=int, default=4000)
    arguments = parser.parse_args()
    count(arguments.seeds, arguments.how)
    if arguments.how == "auto":
        count_panels(5)
    if arguments.data:
        compare(arguments.data, arguments.most_rows)


if __name__ == "__main__":
    main()
