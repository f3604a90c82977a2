"""Validation of the rows that a fitted estimator is given, and the names of its experts."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial, wraps
from importlib import import_module
from inspect import signature
from typing import Any, Self, TypeVar, cast

import numpy as np
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skmoe._data.blocks import chunk_sizes, chunks_of
from skmoe._data.checks import shown
from skmoe._data.encoding import encode
from skmoe._data.outcomes import check_no_missing, stacked_outcomes
from skmoe._data.rows import RowRules, Rows, check_target, checked_rows, feature_labels, is_dask
from skmoe._data.series import is_missing
from skmoe._data.sklearn_adapter import named_estimator, transform_by, typical_model
from skmoe._data.units import check_gate_columns, encode_units
from skmoe._estimators.methods.input_steps import InputSteps
from skmoe._estimators.methods.series import has_series
from skmoe._estimators.parameters.conflicts import KNOWN_EXPERTS, Choice, check_conflicts
from skmoe._estimators.parameters.parameters import check_probabilities
from skmoe._estimators.parameters.parts import check_takes
from skmoe._estimators.rows.training_data import TrainingState
from skmoe._inference.coefficients import ALL_EXPERTS, GATE
from skmoe._inference.inference import UnitResponsibilities
from skmoe._inference.labels import Labels, default_expert_names, output_labels, printable_name
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array
from skmoe.exceptions import FitMismatchWarning, warn_user

# What a method assumes that is called without an argument which the fit had.
ASSUMED = {
    "sample_weight": "each row counts once",
    "offset": "the offset is 0",
    "units": "each row is taken as a unit of its own",
    "known_experts": "every expert is possible for each row",
    "var_weights": "each y is one value, not a mean",
}

MethodT = TypeVar("MethodT", bound=Callable[..., Any])


# Arguments of methods with an entry for each row, which are cut into the chunks of X.
ROW_ARGUMENTS = ("y", "offset", "gate_proba", "known_experts", "var_weights")


def supports_dask(method: MethodT) -> MethodT:
    """Decorator: for a Dask collection the method is mapped over its chunks, to a Dask array."""
    method_signature = signature(method)

    @wraps(method)
    def wrapper(self: Any, X: Any, *args: Any, **kwargs: Any) -> Any:
        if not is_dask(X):
            return method(self, X, *args, **kwargs)
        check_is_fitted(self)
        options = dict(method_signature.bind(self, X, *args, **kwargs).arguments)
        del options["self"], options["X"]
        if options.get("units") is not None or self._fitted.mixture.gate.persists:
            use = f"{method.__name__} of a Dask collection"
            check_conflicts({"units": "units", "predictions of Dask collections": use})
        given = {name: options.pop(name, None) for name in ROW_ARGUMENTS}
        by_row = {name: values for name, values in given.items() if values is not None}
        return _map_chunks(self, method.__name__, X, by_row, options)

    return cast(MethodT, wrapper)


def score_of_prediction(estimator: Any, prediction: Any, y: Any, sample_weight: Any) -> float:
    """R squared of predicted means, or accuracy of predicted classes.

    Of Dask collections only the target and the predictions are loaded.
    """
    prediction, y, weight = (
        values.compute() if is_dask(values) else values for values in (prediction, y, sample_weight)
    )
    score_fn = accuracy_score if is_classifier(estimator) else r2_score
    values = np.asarray(y)
    has_several = np.shape(prediction)[1:] not in ((), (1,)) and values.shape == prediction.shape
    fitted = estimator._fitted
    may_miss = fitted.mixture.gate.persists or fitted.preprocessor.counts_units or has_several
    if not may_miss or values.dtype.kind not in "fO":
        check_target(y, is_classifier(estimator))
        if values.dtype.kind == "f":
            check_no_missing(np.isnan(values))
        return float(score_fn(y, prediction, sample_weight=weight))
    # Of each output, where it is observed.
    scores, weight = [], np.ones(len(prediction)) if weight is None else np.asarray(weight)
    entries, predicted = (v.reshape(len(prediction), -1) for v in (values, prediction))
    for j, missing in enumerate(is_missing(entries).T):
        kept = np.flatnonzero(~missing)
        if not len(kept):
            raise ValueError("y must have values in some rows; all are missing. Pass observed y.")
        own = entries[kept, j].tolist()
        check_target(own, is_classifier(estimator))
        scores.append(score_fn(own, predicted[kept, j], sample_weight=weight[kept]))
    return float(np.mean(scores))


# --- chunks -----------------------------------------------------------------------------------


def _map_chunks(
    estimator: Any, name: str, X: Any, by_row: dict[str, Any], options: dict[str, Any]
) -> Any:
    """Dask array of the results of a method for every chunk of X.

    `by_row` are the arguments that have an entry for each row.
    """
    dask, array = import_module("dask"), import_module("dask.array")
    # A call with few rows raises the errors of wrong columns, and gives the shape of the results.
    few_rows = _meta_rows(X)
    neutral = {"offset": np.zeros, "var_weights": np.ones}
    of_row = {name: fill(few_rows.shape[0]) for name, fill in neutral.items() if name in by_row}
    if "y" in by_row:
        of_row["y"] = estimator.predict(few_rows)
    example = getattr(estimator, name)(few_rows, **of_row, **options)
    empty = np.empty((0, *example.shape[1:]), dtype=example.dtype)
    # As a task of its own, the estimator is sent to each worker once.
    fitted = dask.delayed(_without_training_state(estimator), pure=False)
    of_chunk = dask.delayed(partial(_of_chunk, name, options, empty), pure=False)
    chunks = chunks_of({"X": X} | by_row)
    sizes = chunk_sizes(X) or [np.nan] * len(chunks)
    results = [
        array.from_delayed(of_chunk(fitted, chunk), (size, *empty.shape[1:]), meta=empty)
        for chunk, size in zip(chunks, sizes, strict=True)
    ]
    return array.concatenate(results)


def _of_chunk(name: str, options: dict[str, Any], empty: Array, fitted: Any, chunk: Any) -> Any:
    """Result of a method for a chunk; `empty` for a chunk without rows, as filters leave them."""
    return getattr(fitted, name)(**chunk, **options) if chunk["X"].shape[0] else empty


def _meta_rows(X: Any) -> Any:
    """Few rows with the columns of a collection, made without its values."""
    if not hasattr(X, "columns"):
        return np.zeros((1, *X.shape[1:]), dtype=X.dtype)
    pandas = import_module("pandas")
    empty = pandas.DataFrame(columns=X.columns).astype(dict(X.dtypes))
    return import_module("dask.dataframe.utils").meta_nonempty(empty)


def _without_training_state(estimator: Any) -> Any:
    """Shallow copy without the state for later fits and without callbacks, for the workers."""
    fitted = copy.copy(estimator)
    fitted._training_state = TrainingState()
    vars(fitted).pop("_skl_callbacks", None)  # of scikit-learn
    return fitted


# --- names of experts --------------------------------------------------------------------------


def check_expert_names(parameter: str, names: Any, n_experts: int) -> list[str]:
    """The names as a list, if there is one for each expert, and all are different."""
    unordered = isinstance(names, str | bytes | dict | set | frozenset)
    listed = list(names) if isinstance(names, Iterable) and not unordered else None
    if listed is None or len(listed) != n_experts:
        given = shown(names) if listed is None else f"{len(listed)}"
        raise ValueError(
            f"{parameter} must be a list with one name for each of the {n_experts} experts; got "
            f"{given}. Pass None for {', '.join(default_expert_names(n_experts)[:2])} and so on."
        )
    printed = [printable_name(name) if isinstance(name, str) else "" for name in listed]
    taken = ["", GATE, ALL_EXPERTS]
    for k, name in enumerate(printed):
        if name in taken:
            raise ValueError(
                f"{parameter} must be strings that differ, not empty and neither {GATE!r} nor "
                f"{ALL_EXPERTS!r}, which tables use for other terms; that of expert {k} is "
                f"{shown(listed[k])}. Give each expert a name of its own."
            )
        taken.append(name)
    return [str(name) for name in listed]


def labels_of(estimator: Any) -> Labels:
    """The names of a fitted estimator."""
    classes = [str(label) for label in getattr(estimator, "classes_", ())]
    responses = classes[1:] if len(classes) == 2 else classes  # log odds of the second of two
    if not classes:
        responses = getattr(estimator, "output_names_", ["y"])
    names = getattr(estimator, "feature_names_in_", None)
    features = feature_labels(names, estimator.n_features_in_)
    gate_features = list(estimator.gate_feature_names_)
    return Labels(estimator.expert_names_, features, gate_features, classes, responses)


class ExpertNamesMixin:
    """The attribute `expert_names_`, and the method that sets it."""

    _fitted: FittedMixture
    _expert_names: tuple[str, ...]  # those that the user gave; absent without

    @property
    def expert_names_(self) -> list[str]:
        """Names of the experts: those of `set_expert_names`, or "expert 0" and so on."""
        check_is_fitted(self)
        names = getattr(self, "_expert_names", None)
        return list(names or default_expert_names(self._fitted.mixture.n_experts))

    @property
    def expert_kinds_(self: Any) -> list[str]:
        """Kind of each expert: its family, the class of its estimators, or what was chosen."""
        check_is_fitted(self)
        if families := getattr(self, "families_", ()):
            return [family.name for family in families]
        if models := getattr(self, "experts_", ()):
            finals = [list(map(named_estimator, of_folds)) for of_folds in models]
            return [type(typical_model(own)).__name__ for own in finals]
        _, expert = self._expert_parameter
        chosen = list(expert) if isinstance(expert, list | tuple) else [expert]
        names = [value if isinstance(value, str) else type(value).__name__ for value in chosen]
        return [names[k % len(names)] for k in range(self._fitted.mixture.n_experts)]

    def set_expert_names(self, names: Any) -> Self:
        """Name the experts, for all tables, texts, pictures and frames.

        The names are saved with the estimator. A warm start and `partial_fit`, which continue the
        fit, keep them; a new `fit` forgets them.

        Parameters
        ----------
        names : list of str of length n_experts, or None
            A name for each expert, in the order of `weights_`. None removes the names.

        Returns
        -------
        self : estimator
            The fitted estimator.

        Raises
        ------
        ValueError
            If there is not one name for each expert, if a name is empty or no string, or if two
            experts have the same name. The names "gate" and "all experts" are not possible, since
            tables use them.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, 1 - np.abs(X[:, 0]))
        >>> names = ["falls" if slope < 0 else "rises" for slope in moe.expert_coef_[:, 0]]
        >>> sorted(moe.set_expert_names(names).expert_names_)
        ['falls', 'rises']
        """
        check_is_fitted(self)
        if names is None:
            vars(self).pop("_expert_names", None)
        else:
            n_experts = self._fitted.mixture.n_experts
            self._expert_names = tuple(check_expert_names("names", names, n_experts))
        return self


# --- rows -------------------------------------------------------------------------------------


class NewRowsMixin:
    """New rows in the form in which a fitted mixture takes them."""

    _fitted: FittedMixture
    _row_arguments: tuple[str, ...] = ()  # of the fit, by the names in ASSUMED
    _last_time: Any = None  # of the rows of the fit, if these are series with times
    _input: InputSteps | None
    n_features_in_: int

    @property
    @abstractmethod
    def _expert_parameter(self) -> tuple[str, Any]:
        """Name of the parameter that chooses the experts, and the experts: one, or a list."""

    def _check_mean(self) -> None:
        """Raise ValueError if the mean is not finite."""

    def _checked(self, given: Rows, has_target: bool = False) -> Rows:
        """New rows, checked; their target are outputs (n, m), or class codes (n,)."""
        check_is_fitted(self)
        owner: Any = self
        if self._input is not None:
            owner = self._input.mixture
            given = given._replace(X=transform_by(self._input.steps, given.X))
        model, _, preprocessor = self._fitted
        if given.offset is not None or given.n_values is not None:
            check_takes(given, *self._expert_parameter, model.experts)
        if given.possible is not None and model.top_k is not None:
            check_conflicts({"top_k": Choice("top_k", model.top_k), KNOWN_EXPERTS: KNOWN_EXPERTS})
        encoder, scaling = preprocessor.encoder, preprocessor.target_scaling
        rules = RowRules(
            owner,
            scaling is None,
            model.n_experts,
            takes_frames=encoder is not None and encoder.is_frame,
            allow_nan=encoder is not None and encoder.allow_nan,
            encoder=encoder,
            n_outputs=None if scaling is None else len(scaling.center),
            output_names=getattr(self, "output_names_", ()),
            classes=getattr(self, "classes_", None),
            of_series=model.gate.persists,
            of_effects=preprocessor.counts_units,
            of_outcomes=isinstance(getattr(self, "family", None), Mapping),
        )
        rows = checked_rows(given, rules, has_target)
        if rows.unit is not None and model.gate.depends_on_features:
            self._check_gate_columns(rows)
        return rows

    def _check_gate_columns(self, rows: Rows) -> None:
        """The gate's features must be constant within each unit."""
        preprocessor = self._fitted.preprocessor
        encoder, extra = preprocessor.encoder, preprocessor.extra_features
        X = rows.X if encoder is None else encode(encoder, rows.X)
        columns = preprocessor.gate_columns if extra is None else extra.transformer_columns
        given = getattr(self, "feature_names_in_", None)
        names = feature_labels(given, self.n_features_in_, encoder)
        check_gate_columns(X, rows.unit, columns, names)

    def _checked_units(self, method: str, given: Rows, *others: str) -> tuple[Rows, Array | None]:
        """New rows with their target, and the labels of their units.

        Of rows with units those of weight zero are dropped. There is a warning for an offset or
        units, and other arguments named, that the fit had and the new rows lack.
        """
        if self._row_arguments:
            self._check_series(given)
            self._warn_of_missing(method, given, "offset", "units", "var_weights", *others)
        rows = self._checked(given, has_target=True)
        if others and rows.y.dtype.kind == "f" and np.isnan(rows.y).any():
            # Those of a fit do not count where all outputs are missing.
            is_empty = np.isnan(rows.y).all(axis=1)
            rows = rows._replace(weight=np.where(is_empty, 0.0, rows.weight))
        if rows.unit is None:
            return rows, None
        rows = rows.of_positive_weight()
        labels, codes = encode_units(rows.unit)
        return rows._replace(unit=codes), labels

    def _warn_of_missing(self, method: str, given: Rows, *names: str) -> None:
        """A warning for each of these arguments that the fit had and the new rows lack."""
        check_is_fitted(self)
        for name in self._row_arguments:
            if name in names and name not in given.arguments:
                data = "X" if given.y is None else "X, y"
                warn_user(
                    f"{method} got no {name}, unlike the fit: {ASSUMED[name]}. "
                    f"Pass it: {method}({data}, {name}=...).",
                    FitMismatchWarning,
                )

    def _with_gate(self, given: Rows, gate_proba: Any) -> tuple[Rows, Any, Any]:
        """New rows, probabilities (K, n) of their experts, None for those of the gate, and effects.

        The probabilities are given, or those that the past of a series gives, or the other rows of
        a unit with random effects; the latter are None for those of new units.
        """
        check_is_fitted(self)
        has_past, known, effects = self._fitted.mixture.gate.persists, None, None
        has_effects, has_target = self._fitted.preprocessor.counts_units, given.y is not None
        if has_effects and has_target and given.unit is None:
            raise ValueError(
                "y must come with units, whose other rows it predicts. Pass units=..., one "
                "entry for each row of X, or leave y out for new units."
            )
        if not has_past and not (given.y is given.unit is given.time is None):
            self._check_known(given, gate_proba)
        elif has_past and gate_proba is None:
            self._check_series(given)
        if has_target:
            self._warn_of_missing("predict", given, "var_weights")
        rows = self._checked(given, has_target)
        is_known = gate_proba is not None or (has_target and rows.weight.any())
        if self._last_time is not None and not is_known:
            self._warn_of_new_series(given)
        if has_effects and has_target:
            of_units = rows._replace(unit=rows.unit_codes)
            known, effects = self._fitted.known_from_others(of_units)
        elif has_target and not has_past and gate_proba is None:
            known = self._fitted.known_gate(rows._replace(unit=rows.unit_codes))
        if gate_proba is None:
            return rows, self._fitted.known_from_past(rows)[0] if has_past else known, effects
        proba = np.asarray(gate_proba, dtype=np.float64)
        check_probabilities("gate_proba", proba, rows.n_rows, self._fitted.mixture.n_experts)
        return rows, (proba / proba.sum(axis=1, keepdims=True)).T, effects

    def _warn_of_new_series(self, given: Rows) -> None:
        """A warning for rows after those of the fit, if no y of earlier ones is given."""
        with suppress(TypeError):  # times of another kind
            if np.min(np.asarray(given.time)) > self._last_time:
                warn_user(
                    "predictions got no y, and times after the last of the fit, "
                    f"{shown(self._last_time)}: each series begins anew, with the probabilities of "
                    "a first row. To continue series of the fit, pass their earlier rows as well, "
                    "with their y, and NaN as the y of rows to predict.",
                    FitMismatchWarning,
                )

    def _check_known(self, given: Rows, gate_proba: Any) -> None:
        """What is known of y must have something in common with what is not."""
        n_outputs = len(output_labels(self))
        is_known = given.y is not None and (given.unit is not None or n_outputs > 1)
        is_known = self._fitted.preprocessor.counts_units or (is_known and gate_proba is None)
        if given.time is not None or not is_known:
            raise ValueError(
                'predictions take y, units and time only with gate="markov", where rows depend on '
                "earlier ones, and y with units, or of several outputs. Leave them out, or pass "
                "gate_proba=responsibilities(X, y, units=units).rows(units)."
            )
        y = stacked_outcomes(given.y)
        if hasattr(self, "expert_covariance_") and np.isnan(np.asarray(y, float)).any():
            raise ValueError(
                'predictions do not take y with covariance_type="full", where the means of some '
                'outputs depend on others. Use covariance_type="diag".'
            )

    def _past(self, y: Any, units: Any, time: Any) -> dict[str, Any]:
        """Arguments by which predictions know earlier rows of a series."""
        check_is_fitted(self)
        given = {"units": units, "time": time}
        if self._fitted.preprocessor.counts_units and units is None:
            return {}  # of new units
        has_past = self._fitted.mixture.gate.persists or self._fitted.preprocessor.counts_units
        return given | ({"y": y} if has_past else {})

    def _check_series(self, given: Rows) -> None:
        """New rows of series must have the units and the time that the rows of the fit had."""
        has_past = self._fitted.mixture.gate.persists
        for name in ("units", "time") if has_past else ():
            if name in self._row_arguments and name not in given.arguments:
                raise ValueError(
                    f"{name} must be given for new rows, as it was to fit: it says "
                    f"{'to which series' if name == 'units' else 'in which order'} rows follow one "
                    f"another. Pass {name}=..., one entry for each row of X; in cross-validation "
                    "use scorers of skmoe.metrics, to which units and time can be routed."
                )


# What can be known of a series, in the order in which it is returned.
GIVEN = "past", "now", "all"


class ObservedRowsMixin(ExpertNamesMixin, NewRowsMixin):
    """What a fitted mixture computes from observed targets."""

    predict: Any

    @supports_dask
    def responsibilities(
        self,
        X: Any,
        y: Any,
        *,
        offset: Any = None,
        units: Any = None,
        sample_weight: Any = None,
        time: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
        given: str = "now",
    ) -> Any:
        """Probability that each expert generated each observed row, or unit, given its own y.

        It is the gate probability times the density of y under the expert, divided by the sum over
        the experts. Responsibilities of training rows are optimistic for flexible experts, and with
        a `base`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target; NaN where some of several outputs, or rows of a unit, are missing.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None if each row is a unit of its own.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in their units, the powers of their densities. Without units they
            make no difference.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Experts of rows for which they are known, as in `fit`.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean, as in `fit`; None for one.
        given : {"now", "past", "all"}, default="now"
            What is known of a series (`gate="markov"`): its rows up to the row itself (filtered
            probabilities), those before it (predicted), or all of them (smoothed).

        Returns
        -------
        responsibilities : ndarray of shape (n_samples, n_experts) or UnitResponsibilities
            Probabilities, which sum to one over the experts; of units a table by their labels.

        Warns
        -----
        FitMismatchWarning
            If units or an offset were given to `fit`, but not here.

        See Also
        --------
        predict_gate : The probabilities given the features only.
        skmoe.inspection.ResponsibilitiesDisplay : Usage of the experts as a picture.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, np.abs(X[:, 0]))
        >>> bool(moe.responsibilities([[-2.0]], [2.0]).max() > 0.99)
        True
        """
        observed = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
        observed = observed._replace(n_values=var_weights)
        if given not in GIVEN or (given != "now" and not has_series(self)):
            raise ValueError(
                f'given must be "past", "now" or "all" with gate="markov", and "now" with another '
                f'gate, whose rows are independent; got {given!r}. Use given="now".'
            )
        rows, labels = self._checked_units("responsibilities", observed)
        if rows.series is not None:
            if given == "all":
                return self._fitted.responsibilities(rows).T
            return self._fitted.known_from_past(rows)[GIVEN.index(given)].T
        resp = self._fitted.responsibilities(rows).T
        if labels is None:
            return resp
        return UnitResponsibilities(labels, resp, self.expert_names_)

    @supports_dask
    def score_samples(
        self,
        X: Any,
        y: Any = None,
        *,
        offset: Any = None,
        units: Any = None,
        sample_weight: Any = None,
        time: Any = None,
        known_experts: Any = None,
        var_weights: Any = None,
    ) -> Array:
        """Log density of the observed target given its features, or log probability of its class.

        With `gate="markov"` it is that one step ahead, given earlier rows of the series.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Observed target. None, which scikit-learn's checks of estimators use, scores the
            mixture's own prediction, and warns.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`; None if each row is a unit of its own.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in their units, the powers of their densities. Without units they
            make no difference.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Experts of rows for which they are known, as in `fit`.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean, as in `fit`; None for one.

        Returns
        -------
        log_density : ndarray of shape (n_samples,) or (n_units,)
            Natural logarithm of the predictive density of each row, in the units of y; of units
            that of all rows of each unit, in ascending order of the labels.

        Warns
        -----
        FitMismatchWarning
            If y is None, or if units or an offset were given to `fit`, but not here.

        See Also
        --------
        skmoe.metrics.log_density_scorer : The mean of these, for cross-validation.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, np.abs(X[:, 0]))
        >>> likely, unlikely = moe.score_samples([[-2.0], [-2.0]], [2.0, 5.0])
        >>> bool(likely > unlikely)
        True
        """
        if y is None:
            warn_user(
                "score_samples without y is the log density of the mixture's own prediction, not "
                "of observations. Pass the observed target: score_samples(X, y).",
                FitMismatchWarning,
            )
            given = {} if offset is None else {"offset": offset}
            past = {"units": units, "time": time} if has_series(self) else {}
            y = self.predict(X, **given, **past)
        observed = Rows(X, y, sample_weight, offset, units, possible=known_experts, time=time)
        observed = observed._replace(n_values=var_weights)
        rows, _ = self._checked_units("score_samples", observed)
        if rows.series is not None:
            return self._fitted.known_from_past(rows)[2]
        return self._fitted.log_density(rows)

    @available_if(has_series)
    def decode(
        self,
        X: Any,
        y: Any,
        *,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        var_weights: Any = None,
    ) -> Array:
        """Most probable path of experts of each series, given all of its rows [1]_.

        It is the sequence that is most probable as a whole. The most probable expert of each row,
        which may follow one another by impossible transitions, are the largest `responsibilities`
        with `given="all"`. For mixtures with `gate="markov"`.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target; NaN where it is missing.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units, time : array-like of shape (n_samples,), default=None
            Series of the rows and their order, as in `fit`.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean, as in `fit`; None for one.

        Returns
        -------
        experts : ndarray of int of shape (n_samples,)
            Number of the expert of each row.

        References
        ----------
        .. [1] A. Viterbi (1967), "Error bounds for convolutional codes and an asymptotically
           optimum decoding algorithm", IEEE Transactions on Information Theory 13, 260-269.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.arange(60.0)[:, None]
        >>> y = np.repeat([0.0, 5.0, 0.0], 20) + np.tile([0.1, -0.1], 30)
        >>> moe = MixtureOfExpertsRegressor(
        ...     2, gate="markov", gate_features=[], expert_features=[]
        ... ).fit(X, y)
        >>> bool(np.diff(moe.decode(X, y)).astype(bool).sum() == 2)
        True
        """
        observed = Rows(X, y, offset=offset, unit=units, time=time, n_values=var_weights)
        rows, _ = self._checked_units("decode", observed)
        return self._fitted.decoded(rows)
