"""Which partition should EM start from: the starts of the library and two more, on real tables.

Each start is climbed from until convergence, with three seeds, on folds 2 to 9 of every table and
scored on fold 1. Beside the kinds that `init` knows: "annealed" flattens the responsibilities of
the first iterations [1]_, "grown" begins with one expert and splits the one whose rows are
explained worst until there are enough. For each number of experts: mean over the tables of the
bound per row and of the score (mean log density of rows held out), in differences from the first
start; spread of the score over the seeds; tables on which a start is the best; CPU seconds.

Usage: python tests/benchmarks/starts.py --data DIR

References
----------
.. [1] N. Ueda and R. Nakano (1998), "Deterministic annealing EM algorithm", Neural Networks 11,
   271-282.
"""

import time
import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from markdown import print_table
from sklearn.base import clone
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.rows import Rows
from skmoe._estimators.rows.training_data import validate_training_data
from skmoe._estimators.selection.n_experts import Growth, n_experts_grid
from skmoe._mixture.partitions import INITIALIZERS

ESTIMATORS = {
    "regression": MixtureOfExpertsRegressor,
    "classification": MixtureOfExpertsClassifier,
}
# Powers of the responsibilities in annealed iterations, each used several times.
COLDNESS = np.repeat([0.2, 0.4, 0.6, 0.8, 1.0], 3)
KINDS = [*INITIALIZERS, "annealed", "grown", "auto, 4 starts"]


def annealed(estimator, X, y):
    """Responsibilities after iterations of EM that flatten them, less and less."""
    rng = np.random.default_rng(estimator.random_state)
    resp = rng.dirichlet(np.ones(estimator.n_experts), size=len(y))
    step = clone(estimator).set_params(max_iter=1)
    for coldness in COLDNESS:
        flat = resp**coldness
        step.set_params(init=flat / flat.sum(axis=1, keepdims=True)).fit(X, y)
        resp = step.responsibilities(X, y)
    return resp


def grown(estimator, X, y):
    """Responsibilities of a mixture that has grown from one expert."""
    data = validate_training_data(estimator, estimator._validate_parameters(), Rows(X, y))
    growth, most = Growth(estimator, data, at_maximum=False), estimator.n_experts
    for number in n_experts_grid():
        trial = growth.fit(min(number, most))
        if number >= most:
            return trial.fitted_estimator().responsibilities(X, y)


def score(job):
    """Bound, score of rows held out and seconds, of one start on one table."""
    task, X, y, fold, n_experts, kind, seed = job
    train, valid = fold >= 2, fold == 1
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        moe = ESTIMATORS[task](n_experts, n_init=1, random_state=seed)
        if kind in INITIALIZERS:
            moe.set_params(init=kind)
        elif kind in ("annealed", "grown"):
            start = annealed if kind == "annealed" else grown
            moe.set_params(init=start(moe, X[train], y[train]))
        else:
            moe.set_params(n_init=4)
        moe.fit(X[train], y[train])
    seconds = time.process_time() - begin
    return moe.lower_bound_, moe.score_samples(X[valid], y[valid]).mean(), seconds


def main():
    """Print a table for each task."""
    parser = data_parser(__doc__)
    parser.add_argument("--n-experts", type=int, nargs="*", default=[2, 4, 8, 16])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most-rows", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    for task in ESTIMATORS:
        loaded = load_tables(arguments.data, task, arguments.only, arguments.most_rows)
        tables = [(task, X, y, fold) for _, X, y, fold in loaded]
        if not tables:
            continue
        by_number = [compare(arguments, task, tables, k) for k in arguments.n_experts]
        rows = {kind: [found[kind] for found in by_number] for kind in KINDS}
        columns = [f"{k} experts" for k in arguments.n_experts]
        print_table(f"{task}, {len(tables)} tables", columns, rows)


def compare(arguments, task, tables, n_experts):
    """Print a line for each start, and return its gains of the bound and of the score."""
    jobs = [
        (*table, n_experts, kind, seed)
        for kind in KINDS
        for table in tables
        for seed in range(arguments.seeds)
    ]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        results = np.array(list(pool.map(score, jobs)))
    by_seed = results.reshape(len(KINDS), len(tables), arguments.seeds, 3)
    bound, held_out, seconds = by_seed.mean(axis=2).transpose(2, 0, 1)
    spread = by_seed[..., 1].std(axis=2).mean(axis=1)
    best = np.bincount(np.argmax(held_out, axis=0), minlength=len(KINDS))
    print(f"\n{task}, {n_experts} experts: bound, score, spread, best, seconds")
    for i, kind in enumerate(KINDS):
        print(
            f"{kind:<16}{(bound[i] - bound[0]).mean():>+8.3f}"
            f"{(held_out[i] - held_out[0]).mean():>+8.3f}{spread[i]:>8.3f}{best[i]:>4}"
            f"{seconds[i].mean():>8.2f}",
            flush=True,
        )
    gains = zip(bound - bound[0], held_out - held_out[0], strict=True)
    texts = [f"{of_bound.mean():+.3f}, {of_score.mean():+.3f}" for of_bound, of_score in gains]
    return dict(zip(KINDS, texts, strict=True))


if __name__ == "__main__":
    main()
