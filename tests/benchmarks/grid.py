"""What the grid of the page "What to tune first" gains over the default.

The search is fitted to folds 2 to 9 of each regression table, and scored on folds 0 and 1. Printed
are the candidate that it selects, the gain in nats per row, and the error (RMSE over the spread of
y) and the CPU seconds of the default and of the search. Usage: python tests/benchmarks/grid.py
--data DIR
"""

import time
import warnings

import numpy as np
from markdown import print_table
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsRegressor
from skmoe.metrics import log_density_scorer

CANDIDATES = {
    "auto": {"moe__n_experts": ["auto"]},
    "curves": {
        "moe__n_experts": [4],
        "curves": [SplineTransformer(4, knots="quantile", extrapolation="linear")],
    },
    "trees": {"moe__n_experts": [4], "moe__expert": ["tree"]},
    "base": {"moe__n_experts": [2], "moe__base": [HistGradientBoostingRegressor(random_state=0)]},
}


def search():
    """The search of the page."""
    moe = MixtureOfExpertsRegressor(random_state=0)
    steps = [("scale", StandardScaler()), ("curves", "passthrough"), ("moe", moe)]
    folds = KFold(3, shuffle=True, random_state=0)
    grid = list(CANDIDATES.values())
    return GridSearchCV(Pipeline(steps), grid, scoring=log_density_scorer, cv=folds)


def main():
    """Print a line for each table, and means."""
    parser = data_parser(__doc__)
    parser.add_argument("--most-rows", type=int, default=700)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows = {}
    for name, X, y, fold in load_tables(
        arguments.data, "regression", arguments.only, arguments.most_rows
    ):
        train, scores = fold >= 2, []
        X = X[:, np.ptp(X[train], axis=0) > 0.0]
        for model in (MixtureOfExpertsRegressor(random_state=0), search()):
            begin = time.process_time()
            model.fit(X[train], y[train])
            seconds = time.process_time() - begin
            rest = X[~train], y[~train]
            error = np.sqrt(np.mean(np.square(rest[1] - model.predict(rest[0])))) / y[train].std()
            scores.append([log_density_scorer(model, *rest), error, seconds])
        (before, *default), (after, *tuned) = scores
        found = [after - before, *np.ravel([default, tuned], order="F")]
        rows[name] = [list(CANDIDATES)[model.best_index_], *found]
        print(name, *rows[name], flush=True)
    rows["**mean**"] = ["", *np.mean([found[1:] for found in rows.values()], axis=0)]
    columns = ["selected", "gain", "error", "of the search", "seconds", "of the search "]
    print_table(f"{len(rows) - 1} tables", columns, rows)


if __name__ == "__main__":
    main()
