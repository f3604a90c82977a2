"""What a readable mixture loses that is fitted to the predictions of a strong model.

For each table of at most --most-rows rows: the share of the variance of the predictions of the
strong recipe that the mixture explains (r2), its Kullback-Leibler divergence, log density and error
of the strong recipe, of the mixture, and of a readable recipe that is fitted to the targets, all on
held-out rows (test_fold 0); experts of both mixtures, and CPU seconds of the distillation.
Usage: python tests/benchmarks/distil.py --data DIR
"""

import time
import warnings

import numpy as np
from sklearn.metrics import log_loss, root_mean_squared_error
from tables import data_parser, load_tables

from skmoe import recipes

COLUMNS = ("r2", "divergence", "density", "of mixture", "of readable", "error", "of mixture")
COLUMNS += ("of readable", "experts", "of readable", "seconds")


def compare(task, X, y, X_val, y_val):
    """The row of a table."""
    regression = task == "regression"
    names = ("strong_regressor", "readable_regressor")
    names = names if regression else ("strong_classifier", "readable_classifier")
    strong, readable = (getattr(recipes, name)(random_state=0).fit(X, y) for name in names)
    begin = time.process_time()
    found = recipes.distil(strong, X, X_val=X_val, y_val=y_val, random_state=0)
    seconds = time.process_time() - begin
    if regression:
        density = readable.score_samples(X_val, y_val).mean()
        error = root_mean_squared_error(y_val, readable.predict(X_val))
    else:
        density = -log_loss(y_val, readable.predict_proba(X_val), labels=readable.classes_)
        error = np.mean(readable.predict(X_val) != y_val)
    densities, errors = found.scores.values()
    experts = found.mixture.n_experts_, readable.n_experts_
    return found.r2, found.divergence, *densities, density, *errors, error, *experts, seconds


def main():
    """Print a row for each table."""
    parser = data_parser(__doc__)
    parser.add_argument("--task", choices=["regression", "classification"], nargs="*")
    parser.add_argument("--most-rows", type=int, default=3000)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    for task in arguments.task or ["regression", "classification"]:
        print(f"| {task} | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
        for name, X, y, fold in load_tables(
            arguments.data, task, arguments.only, arguments.most_rows
        ):
            row = compare(task, X[fold != 0], y[fold != 0], X[fold == 0], y[fold == 0])
            print(f"| {name} | " + " | ".join(f"{value:.3g}" for value in row) + " |", flush=True)


if __name__ == "__main__":
    main()
