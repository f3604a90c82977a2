"""Long fits that survive being killed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmoe._data.checks import check_integer

# Attributes of a fit that are no public ones.
PRIVATE = ("_mixture", "_single_output", "_resume_state", "_memory", "_stream", "_early")

# Iterations after which the end of a fit is seen.
MIN_INTERVAL = 15


class Checkpoint:
    """A callback of scikit-learn (1.9 on) that keeps a running fit in a file.

    Set it by `set_callbacks`. `fit_with_checkpoints` goes on from the file, to the last bit as the
    fit would have gone on, and `load_checkpoint` reads it. Fits of several starts are kept once the
    race of the starts is over; where experts are estimators, at the end.

    Parameters
    ----------
    path : path
        File of the checkpoint, of one fit: a pickle. It is replaced as a whole.
    every : int, default=25
        Iterations of EM between checkpoints.

    Examples
    --------
    >>> from skmoe.checkpoints import Checkpoint
    >>> Checkpoint("fit.joblib", every=10)
    Checkpoint('fit.joblib', every=10)
    """

    def __init__(self, path: str | os.PathLike, every: int = 25):
        check_integer("every", every, least=1)
        self.path = path
        self.every = every

    def __repr__(self) -> str:
        return f"Checkpoint({os.fspath(self.path)!r}, every={self.every})"

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing to prepare.

        Parameters
        ----------
        estimator : estimator
            Whose fit it is.
        context : CallbackContext
            The whole fit.
        """

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing to tear down.

        Parameters
        ----------
        estimator : estimator
            Whose fit it is.
        context : CallbackContext
            The whole fit.
        """

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing to keep yet.

        Parameters
        ----------
        estimator : estimator
            Whose fit it is.
        context : CallbackContext
            The task that begins.
        """

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any = None
    ) -> None:
        """Write the file, after every few iterations of the long run and at the end.

        Parameters
        ----------
        estimator : estimator
            Whose fit it is.
        context : CallbackContext
            The task that ends.
        fitted_estimator : estimator, default=None
            What the task came to.
        """
        if context.task_name == "iteration" and context.parent.task_name == "EM":
            # Within a revival there is no place to go on from.
            ends = fitted_estimator.n_iter_ % self.every == 0
            if ends and fitted_estimator._resume_state is not None:
                _write(self.path, fitted_estimator, _attributes(fitted_estimator))
        elif context.task_name == "fit":
            _write(self.path, fitted_estimator, _attributes(fitted_estimator))


def load_checkpoint(path: str | os.PathLike) -> Any:
    """The estimator as it was at the last checkpoint.

    It predicts, and a fit with `warm_start=True` goes on from it. What is counted at the end of a
    fit, as `weights_`, it has only if the fit had ended.

    Parameters
    ----------
    path : path
        File that `fit_with_checkpoints` or `Checkpoint` wrote: a pickle, read only your own.

    Returns
    -------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.checkpoints import fit_with_checkpoints, load_checkpoint
    >>> X, y = load_diabetes(return_X_y=True)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     path = Path(directory) / "fit.joblib"
    ...     moe = fit_with_checkpoints(moe, X, y, path=path)
    ...     same = load_checkpoint(path)
    >>> bool((same.predict(X) == moe.predict(X)).all())
    True
    """
    (kind, parameters), attributes = joblib.load(path)
    return _fitted(kind(**parameters), attributes)


def fit_with_checkpoints(
    estimator: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    path: str | os.PathLike,
    every: int = 25,
) -> Any:
    """Fit, keep in a file what every few iterations come to, and go on from a file that is there.

    A fit that was killed, at any moment, and is begun again ends at the same parameters, to the
    last bit, as `fit` would have ended at without interruption. A file of the callback
    `Checkpoint` serves as well.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        With `combine="best"`; to go on it needs the same parameters, `max_iter` excepted. To end at
        the same parameters it needs a number as its `random_state`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), or RowBlocks
        Features. That they are those of the file is not checked, beyond their columns.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Target; None for blocks, which hold it.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    path : path
        File of the checkpoint, a pickle: read only your own. It is replaced as a whole.
    every : int, default=25
        Iterations of EM between checkpoints, once the race of the starts is over. Where experts are
        estimators, the fit is one in stretches of so many iterations, each a warm start, at least
        15; what was killed and begun again then ends where those stretches would have ended.

    Returns
    -------
    estimator : estimator
        Fitted; `n_iter_` and `lower_bounds_` are of the whole fit.

    Raises
    ------
    ValueError
        If `every` is too small, if the fit is one of many (`combine="average"`, or a number of
        experts that is to be chosen), or if the file is of an estimator with other parameters.

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
    in_stretches = not isinstance(estimator.expert, str) or estimator.expert != "linear"
    check_integer("every", every, least=MIN_INTERVAL if in_stretches else 1)
    check_checkpointable(estimator)
    path, run = Path(path), clone(estimator)
    if path.exists():
        (kind, parameters), attributes = joblib.load(path)
        check_checkpoint(
            str(path), _comparable_params(kind(**parameters)), _comparable_params(estimator)
        )
        _fitted(run, attributes)
    fit = _fit_in_segments if in_stretches else _fit_in_one
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit(run, (X, y, sample_weight), every, partial(_write, path, estimator))
    estimator._set_fitted_attributes(_attributes(run))
    if not run.converged_:
        warnings.warn(
            f"EM did not converge in max_iter={estimator.max_iter} iterations. Increase max_iter, "
            "and call fit_with_checkpoints again: it goes on from the file.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return estimator


def _fit_in_one(run: Any, data: tuple, every: int, write: Callable[[dict[str, Any]], None]) -> None:
    """One fit, from the place in its attributes if there is one."""
    if _ended(run, run.max_iter):
        return

    def keep(iteration: int, attributes: Callable[[], dict[str, Any]]) -> None:
        if iteration % every == 0:
            write(attributes())

    run.set_params(warm_start=True)._keep = keep
    run.fit(*data)
    write(_attributes(run))


def _fit_in_segments(
    run: Any, data: tuple, every: int, write: Callable[[dict[str, Any]], None]
) -> None:
    """Fits of some iterations, each a warm start from the last."""
    bounds, most = getattr(run, "lower_bounds_", np.empty(0)), run.max_iter
    while not _ended(run, most):
        run.set_params(max_iter=min(every, most - len(bounds)), warm_start=True)
        run.fit(*data)
        bounds = np.concatenate([bounds, run.lower_bounds_])
        run.n_iter_, run.lower_bounds_ = len(bounds), bounds
        write(_attributes(run))


def _ended(run: Any, most: int) -> bool:
    return hasattr(run, "n_iter_") and (run.converged_ or run.n_iter_ >= most)


def _attributes(fitted: Any) -> dict[str, Any]:
    """What a fit has found."""
    return {
        name: value
        for name, value in vars(fitted).items()
        if name in PRIVATE or (name.endswith("_") and name[0] != "_")
    }


def _fitted(estimator: Any, attributes: dict[str, Any]) -> Any:
    for name, value in attributes.items():
        setattr(estimator, name, value)
    return estimator


def _comparable_params(estimator: Any) -> dict[str, str]:
    """What must be the same to go on."""
    given = {
        name: repr(value)
        for name, value in estimator.get_params().items()
        if name not in ("max_iter", "warm_start", "n_jobs", "verbose")
    }
    return {"estimator": type(estimator).__name__} | given


def _write(path: Any, estimator: Any, attributes: dict[str, Any]) -> None:
    """Write the file at once: who reads it sees the old one or the new one, whole."""
    path = Path(path)
    beside = path.with_name(path.name + ".part")
    with beside.open("wb") as file:
        joblib.dump(((type(estimator), estimator.get_params(deep=False)), attributes), file)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def check_checkpoint(path: str, known: dict[str, str], wanted: dict[str, str]) -> None:
    """A checkpoint is of the same estimator with the same parameters."""
    other = sorted(k for k in known.keys() | wanted if known.get(k) != wanted.get(k))
    if other:
        raise ValueError(
            f"path must be of a fit with the same parameters; {path} differs in {other}: "
            f"{other[0]} is {known.get(other[0])} there, and {wanted.get(other[0])} here. Set the "
            "same parameters, or use another path."
        )


def check_checkpointable(estimator: Any) -> None:
    """A fit that is one climb, from which another can go on."""
    if estimator.combine != "best":
        raise ValueError(
            f'fit_with_checkpoints needs combine="best", one start; got {estimator.combine!r}. '
            'Use combine="best".'
        )
    if isinstance(estimator.n_experts, str):
        raise ValueError(
            f"fit_with_checkpoints needs an integer n_experts; got {estimator.n_experts!r}. Choose "
            "the number first, on a sample if need be."
        )
