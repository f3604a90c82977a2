"""Penalties found by the evidence against fixed ones: held-out log densities and CPU seconds.

For the choice of the method, each setting is fitted on folds 4 to 9 of every table and scored on
folds 2 and 3. With --judge it is fitted on folds 2 to 9 and scored on folds 0 and 1, which the
choice has not seen. Scores are mean log densities per row (log probabilities for classes); printed
are those of the first setting, and the differences of the others from it. Each fit ends in one of
several optima: with --seeds N the scores are means over N random states. With --selection N, "ard"
selects features in N simulated tables of 1000 rows, of whose 50 features 5 are at work: 2 in the
gate and 3 in the experts. With --oracle the last column has the best of a grid of numbers, chosen
for each table by its held-out rows themselves: no search without these rows can do better by more
than chance. Usage:
python tests/benchmarks/evidence.py --data DIR [--judge] [--most-rows N] [--n-experts K ...]
python tests/benchmarks/evidence.py --data DIR --selection N
"""

import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from markdown import print_table
from sklearn.model_selection import ParameterGrid
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

ESTIMATORS = {
    "regression": MixtureOfExpertsRegressor,
    "classification": MixtureOfExpertsClassifier,
}
FIXED = {
    "regression": {"alpha": 0.1, "gate_alpha": 1.0, "dispersion_prior": 10.0},
    "classification": {"alpha": 1.0, "gate_alpha": 1.0},
}
GRID = {
    "regression": {
        "alpha": [0.01, 0.1, 1.0, 10.0, 100.0],
        "gate_alpha": [0.01, 0.1, 1.0, 10.0],
        "dispersion_prior": [1.0, 10.0],
    },
    "classification": {
        "alpha": [0.1, 1.0, 10.0, 100.0],
        "gate_alpha": [0.1, 1.0, 10.0, 100.0],
    },
}
SEARCHES = {
    "fixed": {},
    "slopes": {"alpha": "auto"},
    "gate": {"gate_alpha": "auto"},
    "both": {"alpha": "auto", "gate_alpha": "auto"},
    "auto": {"alpha": "auto", "gate_alpha": "auto", "dispersion_prior": "auto"},
    "ard": {"alpha": "ard", "gate_alpha": "ard", "dispersion_prior": "auto"},
}


def score(job):
    """Held-out score and CPU seconds of one setting on one table."""
    task, X, y, fold, setting, judge, seed = job
    first = 0 if judge else 2
    train, test = fold >= first + 2, (fold == first) | (fold == first + 1)
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe = ESTIMATORS[task](random_state=seed, **setting).fit(X[train], y[train])
    seconds = time.process_time() - begin
    return moe.score_samples(X[test], y[test]).mean(), seconds, moe.n_iter_


def compare(task, tables, settings, arguments, **common):
    """Print a line for each table, and the means; return gains and times of all but the first."""
    jobs = [
        (task, X, y, fold, FIXED[task] | common | setting, arguments.judge, seed)
        for _, X, y, fold in tables
        for setting in settings.values()
        for seed in range(arguments.seeds)
    ]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        results = np.array(list(pool.map(score, jobs)))
    results = results.reshape(len(tables), len(settings), arguments.seeds, 3).mean(axis=2)
    n_named = len(settings) - arguments.oracle * len(ParameterGrid(GRID[task]))
    if n_named < len(settings):
        best = results[:, n_named:, 0].argmax(axis=1)
        oracle = results[np.arange(len(tables)), n_named + best]
        results = np.concatenate([results[:, :n_named], oracle[:, None]], axis=1)
        settings = [*list(settings)[:n_named], "oracle"]
    shared = "".join(f", {key}={value}" for key, value in common.items())
    folds = "folds 0 and 1" if arguments.judge else "folds 2 and 3"
    print(f"\n{task}{shared}: held-out log density, {folds}")
    print(f"{'table':<22}{'rows':>7}" + "".join(f"{name:>9}" for name in settings))
    gains = results[:, :, 0] - results[:, :1, 0]
    shown = np.hstack([results[:, :1, 0], gains[:, 1:]])
    for (name, _, y, _), values in zip(tables, shown, strict=True):
        print(f"{name:<22}{len(y):>7}" + "".join(f"{value:>9.3f}" for value in values))
    for name, values in (
        ("mean", shown.mean(axis=0)),
        ("median gain", np.median(gains, axis=0)),
        ("worst gain", gains.min(axis=0)),
        ("CPU seconds", results[:, :, 1].sum(axis=0)),
        ("median time ratio", np.median(results[:, :, 1] / results[:, :1, 1], axis=0)),
    ):
        print(f"{name:<29}" + "".join(f"{value:>9.3f}" for value in values), flush=True)
    ratios = np.median(results[:, :, 1] / results[:, :1, 1], axis=0)
    figures = np.column_stack([gains.mean(axis=0), gains.min(axis=0), ratios])[1:]
    return [text for gain, worst, ratio in figures for text in (gain, worst, f"{ratio:.1f}")]


def selects(seed):
    """Whether all features at work in gate and experts are found, and whether no others are."""
    rng = np.random.default_rng(seed)
    X, at_work = rng.normal(size=(1000, 50)), rng.choice(50, 5, replace=False)
    gate, experts = set(at_work[:2].tolist()), set(at_work[2:].tolist())
    second = 1.5 * (X[:, at_work[0]] - X[:, at_work[1]]) + rng.logistic(size=1000) > 0
    slopes = np.where(second[:, None], [-1.0, 1.0, 0.5], [1.0, 1.0, -1.0])
    y = (slopes * X[:, at_work[2:]]).sum(axis=1) + second + 0.5 * rng.normal(size=1000)
    moe = MixtureOfExpertsRegressor(2, alpha="ard", gate_alpha="ard", random_state=0).fit(X, y)
    found = [set(np.flatnonzero(np.isfinite(a)).tolist()) for a in (moe.gate_alpha_, moe.alpha_)]
    return found[0] >= gate and found[1] >= experts, found == [gate, experts]


def selection(n_seeds, n_processes):
    """Print how often features are selected without error."""
    with ProcessPoolExecutor(n_processes) as pool:
        results = np.array(list(pool.map(selects, range(n_seeds))))
    complete, exact = results.sum(axis=0)
    print(f"all features at work are found in {complete} of {n_seeds} tables")
    print(f"these and no others in {exact} of {n_seeds} tables")


def main():
    """Print a table for each task and number of experts."""
    parser = data_parser(__doc__)
    parser.add_argument("--n-experts", type=int, nargs="*", default=[4, 8])
    parser.add_argument("--most-rows", type=int, default=4000, help="rows of a table at the most")
    parser.add_argument("--judge", action="store_true", help="score on folds 0 and 1")
    parser.add_argument("--seeds", type=int, default=1, help="number of random states")
    parser.add_argument("--tasks", nargs="*", default=list(ESTIMATORS), choices=list(ESTIMATORS))
    parser.add_argument("--settings", nargs="*", default=list(SEARCHES), choices=list(SEARCHES))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--selection", type=int, metavar="N", help="simulate N tables instead")
    parser.add_argument("--oracle", action="store_true", help="also the best of a grid")
    arguments = parser.parse_args()
    if arguments.selection:
        selection(arguments.selection, arguments.jobs)
        return
    settings = {name: SEARCHES[name] for name in arguments.settings}
    rows, names = {}, [*settings][1:] + ["oracle"] * arguments.oracle
    for task in arguments.tasks:
        tables = list(load_tables(arguments.data, task, arguments.only, arguments.most_rows))
        own = {
            name: {key: value for key, value in setting.items() if key in FIXED[task]}
            for name, setting in settings.items()
        }
        if arguments.oracle:
            own |= {str(setting): setting for setting in ParameterGrid(GRID[task])}
        for number in arguments.n_experts if tables else ():
            rows[f"{task}, {number}"] = compare(task, tables, own, arguments, n_experts=number)
    columns = [column for name in names for column in (name, "smallest", "time")]
    print_table("task, experts", columns, rows)


if __name__ == "__main__":
    main()
