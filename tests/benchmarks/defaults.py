"""How sensitive a mixture is to its penalties and its starts: the source of the defaults.

Each setting is fitted on folds 2 to 9 of every table and scored on fold 1: fold 0 stays untouched
for comparisons of methods. Scores are mean log densities per row (log probabilities for classes);
printed are their means over the tables, in differences from the first setting, and over how many
tables a setting is the best. Usage: python tests/benchmarks/defaults.py --data DIR
[--most-rows N] [--kinds starts]
"""

import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from itertools import product

import numpy as np
from markdown import print_table
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

ESTIMATORS = {
    "regression": MixtureOfExpertsRegressor,
    "classification": MixtureOfExpertsClassifier,
}
PENALTIES = [
    {"alpha": alpha, "gate_alpha": gate_alpha}
    for alpha in (0.1, 0.01, 1.0, 10.0)
    for gate_alpha in (1.0, 0.1, 0.01, 10.0)
]
STARTS = [{"n_init": n_init} for n_init in (1, 2, 4, 8, 16, 36)] + [
    {"n_init": 1, "init": init} for init in ("linear_tree", "kmeans", "tree", "random")
]
KINDS = ("numbers", "penalties", "starts", "priors")
NUMBERS = [{"n_experts": number} for number in (4, 1, 2, 3, 6, 8, 12, 16)]
PRIORS = [{"dispersion_prior": prior} for prior in (10.0, 0.0, 3.0, 30.0)]


def score(job):
    """Validation score and seconds of one setting on one table."""
    task, X, y, fold, setting = job
    train, valid = fold >= 2, fold == 1
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe = ESTIMATORS[task](**{"random_state": 0, **setting}).fit(X[train], y[train])
    seconds = time.process_time() - begin
    density = moe.score_samples(X[valid], y[valid])
    return density.mean(), moe.lower_bound_, seconds


def compare(title, task, tables, settings, n_processes, **common):
    """Print a line for each setting, and return its mean gain over the first."""
    jobs = [
        (task, X, y, fold, common | setting) for setting in settings for _, X, y, fold in tables
    ]
    with ProcessPoolExecutor(n_processes) as pool:
        results = np.array(list(pool.map(score, jobs)))
    scores, bounds, seconds = results.reshape(len(settings), len(tables), 3).transpose(2, 0, 1)
    best = np.bincount(np.argmax(scores, axis=0), minlength=len(settings))
    shared = "".join(f", {key}={value}" for key, value in common.items())
    print(f"\n{task}{shared}: {title}; {len(tables)} tables")
    print(f"{'setting':<42}{'score':>9}{'worst':>9}{'median':>9}{'bound':>9}{'best':>6}{'s':>7}")
    names = [", ".join(f"{key}={value}" for key, value in setting.items()) for setting in settings]
    for i, name in enumerate(names):
        gain = scores[i] - scores[0]
        print(
            f"{name:<42}{gain.mean():>9.4f}{gain.min():>9.3f}{np.median(gain):>9.4f}"
            f"{(bounds[i] - bounds[0]).mean():>9.4f}{best[i]:>6d}{seconds[i].sum():>7.1f}",
            flush=True,
        )
    return dict(zip(names, (scores - scores[0]).mean(axis=1), strict=True))


def main():
    """Print the tables of the user guide."""
    parser = data_parser(__doc__)
    parser.add_argument("--n-experts", type=int, nargs="*", default=[2, 4, 8])
    parser.add_argument("--most-rows", type=int, help="rows of a table at the most")
    parser.add_argument("--kinds", choices=KINDS, nargs="*", default=KINDS)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    gains = {}
    for task in ESTIMATORS:
        tables = list(load_tables(arguments.data, task, arguments.only, arguments.most_rows))
        if not tables:
            continue
        kinds = {"penalties": PENALTIES, "starts": STARTS}
        if task == "regression":
            kinds["priors"] = PRIORS
        kinds = {name: kinds[name] for name in kinds.keys() & set(arguments.kinds)}
        found = gains.setdefault(task, {None: {}})
        if "numbers" in arguments.kinds:
            found[None] = compare("numbers of experts", task, tables, NUMBERS, arguments.jobs)
        for number, (title, settings) in product(arguments.n_experts, kinds.items()):
            of_kind = compare(title, task, tables, settings, arguments.jobs, n_experts=number)
            found[number] = found.get(number, {}) | of_kind
    for number in (None, *arguments.n_experts):
        columns = {task: found[number] for task, found in gains.items()}
        names = dict.fromkeys(name for column in columns.values() for name in column)
        rows = {
            f"`{name}`": [column.get(name, np.nan) for column in columns.values()] for name in names
        }
        print_table(f"gain, {number or 'any'} experts", list(columns), rows)


if __name__ == "__main__":
    main()
