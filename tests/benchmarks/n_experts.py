"""How well n_experts="auto" counts regimes, how stable the number is, and what it costs.

- recovery: simulated tables of 1 to 6 regimes along the first of three features, 1000 rows, with
  sharp or overlapping regimes; how often the number is found, and CPU time over that of one fit.
  Also of four regimes by the signs of two features, alone or among many.
- stability: tables of scikit-learn (and with --data small ones of the folder), with other seeds,
  and after one row in a hundred, drawn at random, has been left out.
- held_out (with --data): mean log density of fold 1 for each fixed number and for the numbers
  that held-out scores and criteria choose from the other folds; fold 0 stays untouched.
- panels of one regression and seven rows for each of 595 people, with an effect of the person: the
  numbers chosen with and without groups.
- cost: CPU seconds of first fits of small, wide, long and other tables.

Usage: python tests/benchmarks/n_experts.py [PART ...] [--data DIR] [--how auto]
"""

import argparse
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from markdown import print_table
from sklearn import datasets
from sklearn.base import clone
from tables import load_tables

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

FIXED = (1, 2, 4, 8, 16)
HOW = ("auto", "bic", "icl", "aic")
MOST_ROWS_OF_STABILITY = 600


def simulate(n_regimes, seed, n_rows=1000, overlap=0.0):
    """Linear regressions that change with the first feature, sharply or with an overlap."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 3))
    position = X[:, 0] + overlap * rng.normal(size=n_rows)
    regime = np.digitize(position, np.quantile(position, np.arange(1, n_regimes) / n_regimes))
    coef, intercept = 2 * rng.normal(size=(n_regimes, 3)), 3 * rng.normal(size=n_regimes)
    return X, intercept[regime] + (X * coef[regime]).sum(axis=1) + 0.3 * rng.normal(size=n_rows)


def timed(moe, X, y, groups=None):
    """The fitted estimator and CPU seconds."""
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe.fit(X, y, groups=groups)
    return moe, time.process_time() - begin


def counted(numbers):
    """Each number and how often it was chosen."""
    return ", ".join(f"{k}: {n}" for k, n in sorted(Counter(numbers).items()))


def recovery(options):
    """Print how often each number is found."""
    for overlap in (0.0, 0.3):
        print(f"\nn_experts={options.how!r}, {options.seeds} tables each, overlap {overlap}")
        print(f"{'regimes':>8}{'found':>8}{'cost':>8}   numbers chosen")
        for n_regimes in range(1, 7):
            chosen, seconds = [], np.zeros(2)
            for seed in range(options.seeds):
                X, y = simulate(n_regimes, seed, overlap=overlap)
                moe, of_choice = timed(MixtureOfExpertsRegressor(options.how, random_state=0), X, y)
                fixed = MixtureOfExpertsRegressor(moe.n_experts_, random_state=0)
                chosen.append(moe.n_experts_)
                seconds += of_choice, timed(fixed, X, y)[1]
            found = np.mean(np.array(chosen) == n_regimes)
            cost = seconds[0] / seconds[1]
            print(f"{n_regimes:>8}{found:>8.0%}{cost:>8.1f}   {counted(chosen)}", flush=True)
    for n_rows, n_columns in ((300, 3), (600, 30)):
        chosen = []
        for seed in range(options.seeds):
            rng = np.random.default_rng(seed)
            X = rng.normal(size=(n_rows, n_columns))
            y = 2.0 * np.sign(X[:, 0] * X[:, 1]) * (X[:, 0] + X[:, 1])
            y += 0.3 * rng.normal(size=n_rows)
            moe = timed(MixtureOfExpertsRegressor(options.how, random_state=0), X, y)[0]
            chosen.append(moe.n_experts_)
        print(
            f"\nfour regimes by the signs of two of {n_columns} features, {n_rows} rows: "
            f"{counted(chosen)}"
        )


def tables_of_stability(folder, only):
    """Yield name, kind, X and y of small real tables."""
    regressor, classifier = MixtureOfExpertsRegressor, MixtureOfExpertsClassifier
    wine, iris = datasets.load_wine().data, datasets.load_iris().data
    found = {
        "diabetes": (regressor, *datasets.load_diabetes(return_X_y=True, scaled=False)),
        "petal width": (regressor, iris[:, :3], iris[:, 3]),
        "alcohol": (regressor, wine[:, 1:], wine[:, 0]),
        "iris": (classifier, *datasets.load_iris(return_X_y=True)),
        "wine": (classifier, *datasets.load_wine(return_X_y=True)),
        "tumours": (classifier, *datasets.load_breast_cancer(return_X_y=True)),
    }
    if folder:
        for name, X, y, _ in load_tables(folder, "regression"):
            if len(y) <= MOST_ROWS_OF_STABILITY:
                found[name] = (regressor, X, y)
    for name, table in found.items():
        if not only or name in only:
            yield name, *table


def stability(options):
    """Print the numbers chosen with other seeds, and without one row in a hundred."""
    print(f"\nn_experts={options.how!r}: numbers chosen, and how often")
    print(f"{'table':<14}{'rows':>6}{'seconds':>9}   other seeds; fewer rows")
    frequent = []
    for name, kind, X, y in tables_of_stability(options.data, options.only):
        chosen, seconds = {"seeds": [], "rows": []}, []
        for seed in range(options.seeds):
            moe = kind(options.how, n_init=1, random_state=seed)
            kept = np.random.default_rng(seed).permutation(len(y))[: int(0.99 * len(y))]
            rows_of = {"rows": np.sort(kept)}
            if seed < options.random_states:
                rows_of["seeds"] = np.arange(len(y))
            for part, rows in rows_of.items():
                found, used = timed(clone(moe), X[rows], y[rows])
                chosen[part].append(found.n_experts_)
                seconds.append(used)
        frequent += [Counter(chosen["rows"]).most_common(1)[0][1] / options.seeds]
        counts = "; ".join(counted(numbers) for numbers in chosen.values())
        print(f"{name:<14}{len(y):>6}{np.mean(seconds):>9.1f}   {counts}", flush=True)
    print(f"the most frequent number of the table, of fits of fewer rows: {np.mean(frequent):.0%}")


def simulate_panel(seed, n_people=595, n_years=7):
    """One regression with an effect of the person: X, y and the person of each row."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_people), n_years)
    constant = np.column_stack([rng.integers(4, 18, n_people), rng.normal(size=(n_people, 2))])
    year = np.tile(np.arange(n_years), n_people)
    X = np.column_stack([constant[person], rng.integers(1, 40, n_people)[person] + year])
    effect = 0.9 * rng.normal(size=n_people)[person]
    return X, X @ [0.08, 0.0, 0.0, 0.02] + effect + 0.3 * rng.normal(size=len(person)), person


def panels(options):
    """Print the number that is chosen for each panel, without and with groups."""
    print("\nn_experts='auto', 5 panels of one regression")
    for title, uses_groups in (("without groups", False), ("with groups", True)):
        chosen = []
        for seed in range(5):
            X, y, person = simulate_panel(seed)
            moe = MixtureOfExpertsRegressor("auto", random_state=0)
            chosen.append(timed(moe, X, y, person if uses_groups else None)[0].n_experts_)
        print(f"{title:>16}: {chosen}", flush=True)


def held_out(options):
    """Print the score of every fixed number, and of the numbers that are selected."""
    costs = []
    for task, kind in (
        ("regression", MixtureOfExpertsRegressor),
        ("classification", MixtureOfExpertsClassifier),
    ):
        print(f"\n{task}: log density of held-out rows less that of the best fixed number")
        print(
            f"{'':<14}" + "".join(f"{k:>9}" for k in (*FIXED, *HOW)) + f"{'chosen':>12}{'cost':>7}"
        )
        gaps, chosen = [], []
        for table, X, y, fold in load_tables(options.data, task, options.only):
            rows = np.flatnonzero(fold >= 2)
            rows = np.random.default_rng(0).permutation(rows)[: options.most_rows]
            numbers = (*FIXED, *HOW)
            models = [timed(kind(k, random_state=0), X[rows], y[rows]) for k in numbers]
            scores = [moe.score_samples(X[fold < 2], y[fold < 2]).mean() for moe, _ in models]
            gaps.append(np.array(scores) - max(scores[: len(FIXED)]))
            chosen.append([moe.n_experts_ for moe, _ in models[len(FIXED) :]])
            found, seconds = models[len(FIXED)]
            once = timed(kind(found.n_experts_, random_state=0), X[rows], y[rows])[1]
            shown = "".join(f"{gap:>9.3f}" for gap in gaps[-1])
            names = " ".join(map(str, chosen[-1]))
            costs.append(seconds / once)
            print(f"{table:<14}{shown}{names:>12}{costs[-1]:>7.1f}", flush=True)
        names = [str(k) if isinstance(k, int) else f'`"{k}"`' for k in (*FIXED, *HOW)]
        summaries = {"mean": np.mean(gaps, axis=0), "worst": np.min(gaps, axis=0)}
        numbers = [f"{number:.1f}" for number in np.mean(chosen, axis=0)]
        summaries["experts"] = [""] * len(FIXED) + numbers
        print_table(f"{task}, {len(gaps)} tables", names, summaries)
    print(f"\ncost: {np.median(costs):.1f} in the median, {max(costs):.1f} at most")


def tables_of_cost():
    """Yield name, parameters, kind, X and y of tables that first fits are made of."""
    rng, regressor = np.random.default_rng(0), MixtureOfExpertsRegressor
    for n_rows, n_columns in ((111, 4), (10_000, 200), (1_000_000, 10)):
        X = rng.normal(size=(n_rows, n_columns))
        y = np.where(X[:, 0] > 0, 1.0 + X[:, 1], -2.0 - X[:, 2]) + 0.3 * rng.normal(size=n_rows)
        yield f"{n_rows} x {n_columns}, two regimes", {}, regressor, X, y
    yield "1000 x 3, two regimes, trees", {"expert": "tree"}, regressor, *simulate(2, 0)
    X = rng.normal(size=(80_000, 10))
    coef = 2.0 * rng.normal(size=(4, 10))[np.digitize(X[:, 0], [-0.7, 0.0, 0.7])]
    smooth = np.sin(X[:, 1]) + 0.3 * X[:, 2] * X[:, 3]
    y = smooth + (X * coef).sum(axis=1) / 3.0 + 0.3 * rng.normal(size=len(X))
    yield "80000 x 10, four regimes and a curve", {}, regressor, X, y
    X = (rng.random((653, 45)) < 0.3).astype(float)
    classes = {"653 x 45 indicators": (X, X[:, :5].sum(axis=1) + rng.normal(size=653) > 1.5)}
    for load in (datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer):
        classes[load.__name__] = load(return_X_y=True)
    for name, table in classes.items():
        yield name, {}, MixtureOfExpertsClassifier, *table


def cost(options):
    """Print the CPU seconds of first fits, and of fits with the number that they select."""
    print(f"\n{'table':<38}{'experts':>8}{'seconds':>9}{'of fit':>9}{'times':>7}")
    for name, parameters, kind, X, y in tables_of_cost():
        moe, seconds = timed(kind(options.how, random_state=0, **parameters), X, y)
        _, once = timed(kind(moe.n_experts_, random_state=0, **parameters), X, y)
        times = seconds / once
        print(f"{name:<38}{moe.n_experts_:>8}{seconds:>9.2f}{once:>9.2f}{times:>7.1f}", flush=True)


PARTS = {part.__name__: part for part in (recovery, stability, held_out, panels, cost)}


def main():
    """The parts that are named, or those that need no other data."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[[], *PARTS], default=[])
    parser.add_argument("--data", type=Path, help="folder of real tables")
    parser.add_argument("--only", nargs="*", help="names of real tables")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--random-states", type=int, default=20)
    parser.add_argument("--how", choices=HOW, default="auto")
    parser.add_argument("--most-rows", type=int, default=4000)
    options = parser.parse_args()
    for name in options.parts or [name for name in PARTS if name != "held_out" or options.data]:
        PARTS[name](options)


if __name__ == "__main__":
    main()
