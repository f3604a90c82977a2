"""Penalties and numbers of experts on top of a model: the source of the defaults under `base`.

Each setting on gradient boosting is fitted on folds 2 to 9 of every table and scored on fold 1:
mean log density (log probability) per row in differences from the first setting, and on how many
tables it is the best. The line "base alone" has normal noise, or the probabilities of the base.
Usage: python tests/benchmarks/bases.py --data DIR
"""

import warnings
from concurrent.futures import ProcessPoolExecutor

import numpy as np
from scipy.stats import norm
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.model_selection import cross_val_predict
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

KINDS = {
    "regression": (MixtureOfExpertsRegressor, HistGradientBoostingRegressor(random_state=0)),
    "classification": (MixtureOfExpertsClassifier, HistGradientBoostingClassifier(random_state=0)),
}
SETTINGS = [
    {"n_experts": n_experts, "alpha": alpha, "gate_alpha": gate_alpha}
    for n_experts in (4, 1, 2)
    for alpha in (0.1, 1.0, 10.0, 100.0, 1000.0)
    for gate_alpha in (1.0, 10.0, 100.0)
    if n_experts > 1 or gate_alpha == 1.0
]


def scores(job):
    """Scores of the base alone, and of all settings on it, on one table."""
    task, X, y, fold = job
    train, valid = fold >= 2, fold == 1
    kind, base = KINDS[task]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        alone = clone(base).fit(X[train], y[train])
        if task == "regression":
            noise = np.std(y[train] - cross_val_predict(base, X[train], y[train], cv=5))
            found = [norm.logpdf(y[valid], alone.predict(X[valid]), noise).mean()]
        else:
            codes = np.searchsorted(alone.classes_, y[valid])
            probs = np.clip(alone.predict_proba(X[valid]), 1e-3, 1.0)
            found = [np.log(probs[np.arange(len(codes)), codes]).mean()]
        for setting in SETTINGS:
            moe = kind(base=base, random_state=0, **setting).fit(X[train], y[train])
            found.append(moe.score_samples(X[valid], y[valid]).mean())
    return found


def main():
    """Print a line for each setting."""
    parser = data_parser(__doc__)
    parser.add_argument("--most-rows", type=int, default=2000)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    for task in KINDS:
        tables = load_tables(arguments.data, task, arguments.only, arguments.most_rows)
        jobs = [(task, X, y, fold) for _, X, y, fold in tables]
        if not jobs:
            continue
        with ProcessPoolExecutor(arguments.jobs) as pool:
            found = np.array(list(pool.map(scores, jobs)))
        gain = found - found[:, [1]]
        best = np.bincount(found.argmax(axis=1), minlength=len(SETTINGS) + 1)
        print(f"\n{task}, {len(jobs)} tables")
        for i, setting in enumerate([None, *SETTINGS]):
            name = (
                "base alone"
                if setting is None
                else ", ".join(f"{k}={v}" for k, v in setting.items())
            )
            print(
                f"{name:<44}{gain[:, i].mean():>9.4f}{np.median(gain[:, i]):>9.4f}"
                f"{gain[:, i].min():>9.3f}{best[i]:>5d}",
                flush=True,
            )


if __name__ == "__main__":
    main()
