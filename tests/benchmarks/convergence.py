"""How far fits end from the maximum of the likelihood, for all models of the reference files.

Each model of tests/reference that the estimators can fit is fitted with the default `tol` and
`max_iter`, next to no penalties, and the starts of the default. The shift is that of one Newton
step from the estimates, in standard errors, as `inference` reports it. Models without a maximum,
whose gate or experts separate the rows, end by `converged_` False or without standard errors.

Usage: python tests/benchmarks/convergence.py
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.base import clone

sys.path.insert(0, str(Path(__file__).parents[1]))

from mixture import test_reference_families as families
from mixture import test_reference_mle as mle


def problems():
    """Names of the models, their mixtures, and their data."""
    for name, model in families.MODELS.items():
        moe, (X, y, weight, given), _ = families.described(model)
        given = given if weight is None else given | {"sample_weight": weight}
        yield name, moe, (X, y), given
    for name, model in mle.MODELS.items():
        moe, X, y = mle.described(model)
        yield name, moe, (X, y), {}


def main():
    """Print a line for each model, and a summary."""
    shifts = []
    print("| model | experts | iterations | converged | shift in standard errors |")
    print("|---|---|---|---|---|")
    for name, moe, data, given in problems():
        defaults = {name: type(moe)().get_params()[name] for name in ("tol", "max_iter", "init")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of collapsed experts and separated rows
            moe = clone(moe).set_params(n_init="auto", **defaults).fit(*data, **given)
            shift = moe.inference(*data, **given).max_shift
        shifts.append(shift if moe.converged_ else np.nan)
        print(f"| {name} | {moe.n_experts} | {moe.n_iter_} | {moe.converged_} | {shift:.2g} |")
    n_converged = np.isfinite(shifts).sum()
    print(f"{len(shifts)} models, {n_converged} converged; largest shift {np.nanmax(shifts):.2g}")


if __name__ == "__main__":
    main()
