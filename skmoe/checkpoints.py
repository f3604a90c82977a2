"""Checkpoints of long fits: files from which a fit that was killed is resumed."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import joblib
import numpy as np
from scipy import sparse
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning

from skmoe._data.blocks import RowBlocks
from skmoe._data.checks import check_integer
from skmoe._data.encoding import frame_columns, is_frame
from skmoe._data.row_checks import as_csr
from skmoe._data.rows import Rows, is_dask
from skmoe._estimators.base import BaseMixtureOfExperts
from skmoe._estimators.parameters.conflicts import CHECKPOINTS, check_conflicts, chosen_options
from skmoe._estimators.parameters.part_parameters import needs_all_rows
from skmoe._estimators.rows.warm_start import fitted_attributes
from skmoe.exceptions import warn_user

EstimatorT = TypeVar("EstimatorT", bound=BaseMixtureOfExperts)

# Writes the fitted attributes of a moment to the file.
Write = Callable[[dict[str, Any]], None]

# Fewest iterations of a segment: convergence must be detected within one.
MIN_INTERVAL = 15

# Text and digest of each parameter and argument of the fit of a checkpoint, by name: a fit that is
# resumed must have the same.
Origin = dict[str, tuple[str, str]]

# The last bytes of a file, before the digest of all bytes before them.
MARK = b"skmoe checkpoint 4 "


class Checkpoint:
    """A callback of scikit-learn (1.9 on) that writes a running fit to a file.

    Pass it to `set_callbacks`. `fit_with_checkpoints` resumes the fit from the file and continues
    bit for bit; `load_checkpoint` reads it. Fits of several starts are written once the best start
    is selected, and fits of experts that are estimators at the end. See "Larger than memory" in the
    user guide.

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
        self._origin: Origin = {}

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
        _check_path(self.path)

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
        """Remember the parameters and data of the fit, by digests.

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
            self._origin = _origin(estimator, {"X": X, "y": y} | (metadata or {}))

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
        attributes = fitted_attributes(fitted_estimator)
        if context.task_name == "iteration" and context.parent.task_name == "EM":
            if fitted_estimator.n_iter_ % self.every != 0 or not _is_resumable(attributes):
                return
        elif context.task_name != "fit":
            return
        _write(Path(self.path), fitted_estimator, attributes, self._origin)


def load_checkpoint(path: str | os.PathLike[str]) -> Any:
    """The estimator with the parameters of the last checkpoint.

    It can predict. A fit with `warm_start=True` continues it; the iterations so far count if that
    fit had not ended. Attributes that are computed at the end of a fit, such as `weights_`, exist
    only if it has ended. See "Larger than memory" in the user guide.

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
    return _read(Path(path))[0]


def fit_with_checkpoints(
    estimator: EstimatorT,
    X: Any,
    y: Any = None,
    *,
    sample_weight: Any = None,
    path: str | os.PathLike[str],
    every: int = 25,
    offset: Any = None,
    units: Any = None,
    known_experts: Any = None,
) -> EstimatorT:
    """Fit with checkpoints every few iterations, and resume the fit if the file exists.

    A fit that was killed at any moment, and is started again by the same call, ends at the same
    parameters, bit for bit, as `fit` without interruption. A file of the callback `Checkpoint` can
    be resumed as well. See "Larger than memory" in the user guide.

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
    known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
        Experts of rows for which they are known, as in `fit`.

    Returns
    -------
    estimator : estimator
        Fitted; `n_iter_` and `lower_bounds_` are those of the whole fit.

    Raises
    ------
    ValueError
        If `every` is too small, or the file cannot be written, is damaged, or is of a fit with
        other parameters or data. Also if the fit consists of several: `combine="average"` or
        "best_converged", or a number of experts that is selected.
    TypeError
        If the estimator is no mixture of experts, such as a stack.

    Warns
    -----
    ConvergenceWarning
        If EM has not converged in `max_iter` iterations in all: increase it, and call again.
    CollapsedExpertsWarning, DegenerateExpertWarning, OptionWarning
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
    check_checkpointable(estimator)
    task = "classifier" if is_classifier(estimator) else "regressor"
    in_segments = needs_all_rows(estimator.expert, task)
    check_integer("every", every, least=MIN_INTERVAL if in_segments else 1)
    file, run = _check_path(path), clone(estimator)
    given = Rows(X, y, sample_weight, offset, units, possible=known_experts)
    origin = _origin(estimator, {"X": X, "y": y} | given.arguments)
    if file.exists():
        previous, origin_of_file = _read(file)
        _check_same_fit(file, origin_of_file, origin)
        run._set_fitted_attributes(fitted_attributes(previous))

    def write(attributes: dict[str, Any]) -> None:
        _write(file, estimator, attributes, origin)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if in_segments:
            _fit_in_segments(run, given, every, write)
        elif not _has_ended(run, run.max_iter):
            _fit_in_one_run(run, given, every, write)
    estimator._set_fitted_attributes(fitted_attributes(run))
    if not run.converged_:
        warn_user(
            f"EM did not converge in max_iter={estimator.max_iter} iterations. Increase max_iter, "
            "and call fit_with_checkpoints again: it goes on from the file.",
            ConvergenceWarning,
        )
    return estimator


def _fit_in_one_run(run: Any, given: Rows, every: int, write: Write) -> None:
    """One fit, resumed from the state of the estimator if it is fitted."""

    def on_iteration(n_iter: int, attributes: Callable[[], dict[str, Any]]) -> None:
        if n_iter % every == 0 and _is_resumable(now := attributes()):
            write(now)

    _resume(run.set_params(warm_start=True), given, on_iteration=on_iteration)
    write(fitted_attributes(run))


def _fit_in_segments(run: Any, given: Rows, every: int, write: Write) -> None:
    """Fits of `every` iterations, each a warm start from the previous one."""
    n_iter, lower_bounds = getattr(run, "n_iter_", 0), getattr(run, "lower_bounds_", np.empty(0))
    max_iter = run.max_iter
    while not _has_ended(run, max_iter):
        _resume(run.set_params(max_iter=min(every, max_iter - n_iter), warm_start=True), given)
        n_iter += run.n_iter_
        has_new_penalties = run.n_iter_ > len(run.lower_bounds_)
        earlier = () if has_new_penalties else lower_bounds
        lower_bounds = np.concatenate([earlier, run.lower_bounds_])
        run.n_iter_, run.lower_bounds_ = n_iter, lower_bounds
        write(fitted_attributes(run))


def _resume(run: Any, given: Rows, **observers: Any) -> None:
    """Continue a fit as one that has not ended, even if it has: its end sets `weights_`."""
    vars(run).pop("weights_", None)
    run._fit(given, **observers)


def _has_ended(run: Any, max_iter: int) -> bool:
    return hasattr(run, "weights_") and bool(run.converged_ or run.n_iter_ >= max_iter)


def _is_resumable(attributes: Mapping[str, Any]) -> bool:
    """Whether EM can continue: not while experts are re-initialised, or are estimators."""
    return attributes["_training_state"].resume_state is not None


# --- files ------------------------------------------------------------------------------------


def _check_path(path: Any) -> Path:
    """A path at which a file can be written."""
    try:
        if os.path.isdir(path):
            raise IsADirectoryError("it is a folder")
        probe = _temporary(Path(path))
        probe.touch(exist_ok=False)
        probe.unlink()
    except (OSError, TypeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ValueError(
            "path must name a file that can be written, in a folder that exists; got "
            f'{path!r:.300}: {reason}. Give another, such as "fit.joblib".'
        ) from error
    return Path(path)


def _temporary(path: Path) -> Path:
    return path.with_name(f"{path.name}.{uuid4().hex}.part")


def _write(path: Path, estimator: Any, attributes: dict[str, Any], origin: Origin) -> None:
    """Replace the file as a whole, so that a reader gets the previous one or the new one.

    Several processes may write the same file: each has a temporary file of its own.
    """
    fitted = type(estimator)(**estimator.get_params(deep=False))
    fitted._set_fitted_attributes(attributes)
    content, temporary = _as_pickle((fitted, origin)), _temporary(path)
    try:
        with temporary.open("xb") as file:
            file.write(content + MARK + _digest_of_bytes(content))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read(path: Path) -> tuple[Any, Origin]:
    """The fitted estimator of a checkpoint, and its fit."""
    content, mark, digest = path.read_bytes().rpartition(MARK)
    reason = "is damaged, or no checkpoint of this release"
    if mark and digest == _digest_of_bytes(content):
        try:
            fitted, origin = joblib.load(BytesIO(content))
            return fitted, origin
        except Exception as error:  # of any class in the pickle
            reason = f"was written by other versions, or with classes missing here ({error})"
    raise ValueError(
        f"path must be of a whole checkpoint; {path} {reason}. Use another path, or delete the "
        "file to begin the fit again."
    )


def _as_pickle(value: Any) -> bytes:
    buffer = BytesIO()
    joblib.dump(value, buffer)
    return buffer.getvalue()


def _digest_of_bytes(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


# --- the fit of a file ------------------------------------------------------------------------


def _origin(estimator: Any, data: Mapping[str, Any]) -> Origin:
    """Digests of parameters and data; data that are none are refused by the fit."""
    kind, origin = type(estimator), {}
    fresh = kind(**clone(estimator).get_params(deep=False))  # without fits and callbacks
    try:
        _as_pickle(fresh)
        origin["estimator"] = kind.__name__, joblib.hash(kind)
        for name, value in fresh.get_params().items():
            if name not in ("max_iter", "warm_start", "n_jobs", "verbose"):
                # The text of a generator has its address.
                is_generator = isinstance(value, np.random.RandomState)
                origin[name] = "a RandomState" if is_generator else repr(value), _digest(value)
    except Exception as error:  # of any class
        raise ValueError(
            f"fit_with_checkpoints needs parameters that can be pickled: {error}. Define their "
            "classes and functions in a module."
        ) from error
    for name, values in data.items():
        if values is None:
            continue
        is_table = sparse.issparse(values) or is_frame(values) or _is_in_blocks(values)
        try:
            origin[name] = "", _digest(values if is_table else np.asarray(values))
        except (TypeError, ValueError):
            origin[name] = "", "invalid"
    return origin


def _digest(value: Any) -> str:
    """Digest of a value, which does not depend on the memory layout of its arrays.

    Row blocks and Dask collections are not read, since a digest of them would cost a pass.
    """
    if _is_in_blocks(value):
        return "rows in blocks"
    if sparse.issparse(value):
        csr = as_csr(value)
        indices = (csr.indices.astype(np.int64), csr.indptr.astype(np.int64))
        value = (csr.shape, csr.data, *indices)
    elif is_frame(value):
        columns = zip(value.columns, frame_columns(value), strict=True)
        value = [
            (str(name), str(column.dtype), np.ascontiguousarray(column)) for name, column in columns
        ]
    elif isinstance(value, np.ndarray):
        value = np.ascontiguousarray(value)
    digest: str = joblib.hash(value)
    return digest


def _is_in_blocks(value: Any) -> bool:
    return isinstance(value, RowBlocks) or is_dask(value)


def _check_same_fit(path: Path, previous: Origin, current: Origin) -> None:
    """A checkpoint must be of the same estimator with the same parameters and data."""
    pairs = {
        name: [one.get(name, ("None", "")) for one in (previous, current)]
        for name in sorted(previous.keys() | current)
    }
    different = [name for name, ((_, there), (_, here)) in pairs.items() if there != here]
    if different:
        (there, _), (here, _) = pairs[different[0]]
        is_shown = there and here and there != here
        shown = f"is {there} there, and {here} here" if is_shown else "has other values there"
        raise ValueError(
            f"path must be of a fit with the same parameters and data; {path} differs in "
            f"{different}: {different[0]} {shown}. Give the same, use another path, or delete the "
            "file to begin the fit again."
        )


# --- checks -----------------------------------------------------------------------------------


def check_checkpointable(estimator: Any) -> None:
    """Only a fit of one mixture can be resumed."""
    if not isinstance(estimator, BaseMixtureOfExperts):
        raise TypeError(
            f"fit_with_checkpoints needs a mixture of experts; got a {type(estimator).__name__}. "
            "The models of a stack are fitted once, and its gate in a few iterations: use fit."
        )
    estimator._check_is_whole("fit_with_checkpoints")
    check_conflicts({CHECKPOINTS: CHECKPOINTS} | chosen_options(estimator))
