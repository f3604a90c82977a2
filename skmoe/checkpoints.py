"""Checkpoints of long fits: files from which a fit that was killed is resumed."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning

from skmoe._data.checks import check_integer
from skmoe._estimators.base import BaseMixtureOfExperts
from skmoe._estimators.rows.capabilities import needs_all_rows
from skmoe._estimators.rows.training_data import GivenRows
from skmoe._estimators.rows.warm_start import fitted_attributes
from skmoe._estimators.saving.checkpoint_origin import (
    Origin,
    as_pickle,
    check_checkpoint,
    data_digests,
    written_params,
)
from skmoe._estimators.saving.files import check_path, damage_message, read_file, write_file

EstimatorT = TypeVar("EstimatorT", bound=BaseMixtureOfExperts)

# Writes the fitted attributes of a moment to the file.
Write = Callable[[dict[str, Any]], None]

# Fewest iterations of a segment: convergence must be detected within one.
MIN_INTERVAL = 15


class Checkpoint:
    """A callback of scikit-learn (1.9 on) that writes a running fit to a file.

    Pass it to `set_callbacks`. `fit_with_checkpoints` resumes the fit from the file and continues
    bit for bit; `load_checkpoint` reads it. Fits of several starts are written once the best start
    is selected, and fits of experts that are estimators at the end. See "Larger than memory" in the
    documentation.

    Parameters
    ----------
    path : path
        File of the checkpoint, of one fit: a pickle. It is replaced as a whole.
    every : int, default=25
        Iterations of EM between checkpoints. Lower it if iterations take minutes.

    Raises
    ------
    ValueError
        If `every` is not a positive integer.

    See Also
    --------
    fit_with_checkpoints : A fit with checkpoints, for all versions of scikit-learn.

    Examples
    --------
    >>> from skmoe.checkpoints import Checkpoint
    >>> Checkpoint("fit.joblib", every=10)
    Checkpoint('fit.joblib', every=10)
    """

    def __init__(self, path: str | os.PathLike[str], every: int = 25):
        check_integer("every", every, least=1)
        self.path = path
        self.every = every
        self._digests: dict[str, str] = {}

    def __repr__(self) -> str:
        return f"Checkpoint({os.fspath(self.path)!r}, every={self.every})"

    def setup(self, estimator: Any, context: Any) -> None:
        """Check that the file can be written.

        Parameters
        ----------
        estimator : estimator
            The estimator that is fitted.
        context : CallbackContext
            Context of the whole fit.

        Raises
        ------
        ValueError
            If the path is not one of a file that can be written.
        """
        check_path(self.path)

    def teardown(self, estimator: Any, context: Any) -> None:
        """Do nothing.

        Parameters
        ----------
        estimator : estimator
            The estimator that is fitted.
        context : CallbackContext
            Context of the whole fit.
        """

    def on_fit_task_begin(
        self, estimator: Any, context: Any, *, X: Any = None, y: Any = None, metadata: Any = None
    ) -> None:
        """Remember the data of the fit, by digests.

        Parameters
        ----------
        estimator : estimator
            The estimator that is fitted.
        context : CallbackContext
            Context of the task.
        X : {array-like, sparse matrix} of shape (n_samples, n_features), default=None
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Target.
        metadata : dict, default=None
            Weights, offset and units of the rows, if there are any.
        """
        if context.task_name == "fit":
            names = ("sample_weight", "offset", "units")
            given = {name: (metadata or {}).get(name) for name in names}
            self._digests = data_digests({"X": X, "y": y} | given)

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any = None
    ) -> None:
        """Write the file, after every few iterations of the final run and at the end.

        Parameters
        ----------
        estimator : estimator
            The estimator that is fitted.
        context : CallbackContext
            Context of the task.
        fitted_estimator : estimator, default=None
            The estimator with the attributes of this moment.
        """
        if context.task_name == "iteration" and context.parent.task_name == "EM":
            # A re-initialisation cannot be resumed.
            is_resumable = fitted_estimator._training_state.resume_state is not None
            if fitted_estimator.n_iter_ % self.every != 0 or not is_resumable:
                return
        elif context.task_name != "fit":
            return
        parameters = fitted_estimator.get_params(deep=False)
        origin = Origin(type(fitted_estimator), parameters, self._digests)
        _write(Path(self.path), origin, fitted_attributes(fitted_estimator))


def load_checkpoint(path: str | os.PathLike[str]) -> Any:
    """The estimator with the parameters of the last checkpoint.

    It can predict, and a fit with `warm_start=True` continues it. Attributes that are computed at
    the end of a fit, such as `weights_`, exist only if the fit has ended. See "Larger than memory"
    in the documentation.

    Parameters
    ----------
    path : path
        File that `fit_with_checkpoints` or `Checkpoint` wrote. It is a pickle, which can run code:
        read only your own.

    Returns
    -------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted.

    Raises
    ------
    ValueError
        If the file is damaged, or no checkpoint of this release.

    See Also
    --------
    fit_with_checkpoints : It writes the file.

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
    origin, attributes = _read(Path(path))
    estimator = origin.estimator_class(**origin.parameters)
    estimator._set_fitted_attributes(attributes)
    return estimator


def fit_with_checkpoints(
    estimator: EstimatorT,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    path: str | os.PathLike[str],
    every: int = 25,
    offset: Any = None,
    units: Any = None,
) -> EstimatorT:
    """Fit with checkpoints every few iterations, and resume the fit if the file exists.

    A fit that was killed at any moment, and is started again by the same call, ends at the same
    parameters, bit for bit, as `fit` without interruption. A file of the callback `Checkpoint` can
    be resumed as well. See "Larger than memory" in the documentation.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        With `combine="best"`. A fit is resumed only with the same parameters, except for
        `max_iter`, `warm_start`, `n_jobs` and `verbose`.
    X : {array-like, sparse matrix} of shape (n_samples, n_features), or RowBlocks
        Features. A fit is resumed only with the same data. Of row blocks the means and standard
        deviations are compared, and those of a fit that has ended are not read.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Target; None for blocks, which contain it.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    path : path
        File of the checkpoint, a pickle: read only your own. It is replaced as a whole.
    every : int, default=25
        Iterations of EM between checkpoints, once the best start is selected. With experts that are
        estimators, the fit is split into warm-started segments of so many iterations, at least 15.
        A fit that is resumed ends where the same segments end without interruption.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors, as in `fit`.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`.

    Returns
    -------
    estimator : estimator
        Fitted; `n_iter_` and `lower_bounds_` are those of the whole fit.

    Raises
    ------
    ValueError
        If `every` is too small, or the file cannot be written, is damaged, or is of a fit with
        other parameters or data. Also if the fit consists of several: `combine="average"` or
        "best_converged", `specialize=False`, or a number of experts that is selected.

    Warns
    -----
    ConvergenceWarning
        If EM has not converged in `max_iter` iterations in all: increase it, and call again.
    UserWarning
        As `fit` does, at the end of the fit.

    See Also
    --------
    load_checkpoint : It reads the file.
    Checkpoint : A callback that writes the file, for scikit-learn 1.9 and later.

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
    task = "classifier" if is_classifier(estimator) else "regressor"
    in_segments = needs_all_rows(estimator.expert, task)
    check_integer("every", every, least=MIN_INTERVAL if in_segments else 1)
    check_checkpointable(estimator)
    path, run = check_path(path), clone(estimator)
    parameters = written_params(run.get_params(deep=False))
    data = {"X": X, "y": y, "sample_weight": sample_weight, "offset": offset, "units": units}
    digests = data_digests(data)
    origin = Origin(type(estimator), parameters, digests)
    if path.exists():
        previous, attributes = _read(path)
        check_checkpoint(path, previous, origin)
        run._set_fitted_attributes(attributes)
    fit = _fit_in_segments if in_segments else _fit_in_one_run
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fit(run, data, every, partial(_write, path, origin))
    estimator._set_fitted_attributes(fitted_attributes(run))
    if not run.converged_:
        warnings.warn(
            f"EM did not converge in max_iter={estimator.max_iter} iterations. Increase max_iter, "
            "and call fit_with_checkpoints again: it goes on from the file.",
            ConvergenceWarning,
            stacklevel=2,
        )
    return estimator


def _fit_in_one_run(run: Any, data: dict[str, Any], every: int, write: Write) -> None:
    """One fit, resumed from the state of the estimator if it is fitted."""
    # Only the end of a fit sets `weights_`: a fit killed before has not re-initialised experts.
    if hasattr(run, "weights_") and _is_finished(run, run.max_iter):
        return

    def on_resumable_iteration(n_iter: int, attributes: Callable[[], dict[str, Any]]) -> None:
        if n_iter % every == 0:
            write(attributes())

    run.set_params(warm_start=True)
    run._fit(GivenRows(**data), on_resumable_iteration=on_resumable_iteration)
    write(fitted_attributes(run))


def _fit_in_segments(run: Any, data: dict[str, Any], every: int, write: Write) -> None:
    """Fits of `every` iterations, each a warm start from the previous one."""
    n_iter, lower_bounds = getattr(run, "n_iter_", 0), getattr(run, "lower_bounds_", np.empty(0))
    max_iter = run.max_iter
    while not _is_finished(run, max_iter):
        run.set_params(max_iter=min(every, max_iter - n_iter), warm_start=True)
        # The segments are one fit, at the end of which experts are ordered by their shares.
        run._fit(GivenRows(**data), on_resumable_iteration=_ignore_iteration)
        n_iter += run.n_iter_
        has_new_penalties = run.n_iter_ > len(run.lower_bounds_)
        earlier = () if has_new_penalties else lower_bounds
        lower_bounds = np.concatenate([earlier, run.lower_bounds_])
        run.n_iter_, run.lower_bounds_ = n_iter, lower_bounds
        write(fitted_attributes(run))


def _ignore_iteration(n_iter: int, attributes: Callable[[], dict[str, Any]]) -> None:
    """Observe nothing."""


def _is_finished(run: Any, max_iter: int) -> bool:
    return hasattr(run, "n_iter_") and bool(run.converged_ or run.n_iter_ >= max_iter)


# --- files ------------------------------------------------------------------------------------


def _read(path: Path) -> tuple[Origin, dict[str, Any]]:
    """The fit of a checkpoint, and its fitted attributes."""
    content = read_file(path)
    try:
        origin, attributes = joblib.load(BytesIO(content))
        return Origin(*origin), dict(attributes)
    except Exception as error:  # of any class in the pickle
        reason = f"was written by other versions, or with classes that are missing here ({error})"
        raise ValueError(damage_message(path, reason)) from error


def _write(path: Path, origin: Origin, attributes: dict[str, Any]) -> None:
    write_file(path, as_pickle((tuple(origin), attributes)))


# --- checks -----------------------------------------------------------------------------------


def check_checkpointable(estimator: Any) -> None:
    """Only a fit of one mixture can be resumed."""
    if estimator.combine != "best":
        raise ValueError(
            f'fit_with_checkpoints needs combine="best", one start; got {estimator.combine!r}. '
            'Use combine="best".'
        )
    if estimator.specialize is False:
        raise ValueError(
            "fit_with_checkpoints needs specialize=True; got False. Whole models are fitted once, "
            "and their gate in a few iterations: use fit."
        )
    if isinstance(estimator.n_experts, str):
        raise ValueError(
            f"fit_with_checkpoints needs an integer n_experts; got {estimator.n_experts!r}. Choose "
            "the number first, on a sample if need be."
        )
