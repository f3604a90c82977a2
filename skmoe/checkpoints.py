"""Long fits that survive being killed."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmoe._stream_validation import check_checkpoint
from skmoe._validation import check_integer


def fit_with_checkpoints(
    estimator: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    path: str | os.PathLike,
    every: int = 25,
) -> Any:
    """Fit in stretches, each begun where the last ended, and keep what every stretch found.

    If the file is there, the fit goes on from it. A fit that was killed, at any moment, and is
    begun again ends at the same parameters, to the last bit, as one that was not.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        With `combine="best"`; to go on it needs the same parameters, `max_iter` excepted.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), or RowBlocks
        Features. That they are those of the file is not checked, beyond their columns.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Target; None for blocks, which hold it.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    path : path
        File of the checkpoint, a pickle: read only your own. It is replaced as a whole.
    every : int, default=25
        Iterations of EM between checkpoints. Extrapolation begins anew in each stretch, and its
        end is only seen after some iterations: no fewer than 15.

    Returns
    -------
    estimator : estimator
        Fitted; `n_iter_` and `lower_bounds_` are of all stretches.

    Raises
    ------
    ValueError
        If `every` is too small, or the file is of an estimator with other parameters.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` iterations in all are not enough.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.checkpoints import fit_with_checkpoints
    >>> X, y = load_diabetes(return_X_y=True)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     moe = fit_with_checkpoints(moe, X, y, path=Path(directory) / "fit.joblib")
    >>> moe.converged_
    True
    """
    check_integer("every", every, least=15)
    path, settings = Path(path), _settings(estimator)
    if path.exists():
        known, run, bounds = joblib.load(path)
        check_checkpoint(str(path), known, settings)
    else:
        run, bounds = clone(estimator), []
    while len(bounds) < estimator.max_iter and not (bounds and run.converged_):
        run.set_params(
            max_iter=min(every, estimator.max_iter - len(bounds)), warm_start=bool(bounds)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            run.fit(X, y, sample_weight)
        bounds = bounds + run.lower_bounds_.tolist()
        _replace_file(path, (settings, run, bounds))
    estimator._adopt({k: v for k, v in vars(run).items() if k not in estimator.get_params(False)})
    estimator.n_iter_, estimator.lower_bounds_ = len(bounds), np.array(bounds)
    if not run.converged_:
        warnings.warn(
            f"EM did not converge in max_iter={estimator.max_iter} iterations. Increase max_iter, "
            "and call fit_with_checkpoints again: it goes on from the file.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return estimator


def _settings(estimator: Any) -> dict[str, str]:
    """What must be the same to go on."""
    given = {
        name: repr(value)
        for name, value in estimator.get_params().items()
        if name not in ("max_iter", "warm_start", "n_jobs", "verbose")
    }
    return {"estimator": type(estimator).__name__} | given


def _replace_file(path: Path, content: Any) -> None:
    """Write a file at once: who reads it sees the old one or the new one, whole."""
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        joblib.dump(content, file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
