"""Predictions: means and distributions of regressions, and classes with their probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin

from skmoe._data.censored_targets import BOUNDS, as_bounds, check_no_entry, point_values
from skmoe._data.checks import check_integer, has_bounds
from skmoe._data.outcomes import stacked_outcomes
from skmoe._data.rows import Rows, class_weights
from skmoe._estimators.methods.new_rows import NewRowsMixin, score_of_prediction, supports_dask
from skmoe._inference.coefficients import require_distribution
from skmoe._numerics.event_times import concordance
from skmoe._numerics.typing import TINY, Array
from skmoe.distributions import PredictiveDistribution, check_coverage


class MixtureRegressorMixin(RegressorMixin, NewRowsMixin):
    """Methods of regressions: means, and predictive distributions if the experts have them."""

    _single_output: bool
    _multi_output = True

    # Default of `alpha` without and with a base model.
    _default_alphas = 0.1, 10.0

    @supports_dask
    def predict(
        self,
        X: Any,
        *,
        offset: Any = None,
        gate_proba: Any = None,
        y: Any = None,
        units: Any = None,
        time: Any = None,
        var_weights: Any = None,
    ) -> Array:
        """Mean of y for each row, given its features and, in a series, earlier rows.

        It is that of the experts, weighted by the gate. Of times that are right-censored it is
        extrapolated: it depends on the tail of the family beyond `last_time_`, the last time of the
        fit. `predict_dist(X).restricted_mean(time)` and `median` may stay below it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What is known of the target, NaN elsewhere: some of several outputs, or rows of units,
            from which the regime is known better. With `random_features` a row is predicted from
            all other rows of its unit, and in series (`gate="markov"`) from earlier ones, never
            from its own y. None if nothing is known.
        units, time : array-like of shape (n_samples,), default=None
            Units of the rows, and their order, as in `fit`; for series and `random_features` only.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each known y is the mean, as in `fit`; None for one.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predicted mean, in the units of y.

        Raises
        ------
        ValueError
            If an expert never has the event (`family="never"`), since the mean is infinite.
        """
        given = Rows(X, y, offset=offset, unit=units, time=time, n_values=var_weights)
        rows, *known = self._with_gate(given, gate_proba)
        self._check_mean()
        return self._squeeze_outputs(self._fitted.predict(rows.X, rows.offset, *known).T)

    @supports_dask
    def predict_experts(self, X: Any, *, offset: Any = None) -> Array:
        """Mean of y under each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.

        Returns
        -------
        means : ndarray of shape (n_samples, n_experts) or (n_samples, n_experts, n_outputs)
            Predicted means, in the units of y.
        """
        rows = self._checked(Rows(X, offset=offset))
        means = self._fitted.predict_experts(rows.X, rows.offset)
        return self._squeeze_outputs(means.transpose(2, 0, 1))

    def score(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        var_weights: Any = None,
    ) -> float:
        """Coefficient of determination of the predicted means; of censored y the concordance.

        The concordance is `skmoe.metrics.concordance_index` of the means restricted to the largest
        time in y, averaged over the outputs. If one of several is censored, it is that of all.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask collection} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units, time : array-like of shape (n_samples,), default=None
            Units of the rows, and their order, as in `fit`, for series (`gate="markov"`) and with
            `random_features`. Each row is predicted from earlier rows of its series, or from the
            others of its unit; those whose y is NaN do not count.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is the mean: squared errors are multiplied by them.

        Returns
        -------
        score : float
            R squared, at most 1; 0 is the score of the mean of y. Of a structured y the concordance
            index, from 0 to 1; 0.5 is the score of a constant.
        """
        y = stacked_outcomes(y, getattr(self, "output_names_", ()))
        if has_bounds(y):
            check_no_entry("score", y)
            given = Rows(X, y, sample_weight, offset, units, time=time)
            return self._concordance(self._checked(given, has_target=True), given)
        self._warn_of_missing("score", Rows(X, y, offset=offset), "offset")
        past = self._past(y, units, time) | {"var_weights": var_weights}
        if var_weights is not None:
            weight = 1.0 if sample_weight is None else sample_weight
            sample_weight = np.multiply(weight, var_weights)
        return score_of_prediction(self, self.predict(X, offset=offset, **past), y, sample_weight)

    def _concordance(self, rows: Rows, given: Rows) -> float:
        """Mean over the outputs of the concordance of restricted means with bounds (n, m).

        The rows are those that are given, checked.
        """
        bounds, weight = as_bounds(rows.y, BOUNDS), rows.weight
        past = self._past(given.y, given.unit, given.time)
        last = point_values(bounds[weight > 0.0]).max(axis=0)
        horizon = self._squeeze_outputs(np.broadcast_to(last, bounds.shape))
        known = given._replace(weight=None, y=past.get("y"))
        distribution = self._distribution("score", known, None)
        means = distribution.restricted_mean(horizon).reshape(bounds.shape)
        outputs = zip(bounds["lower"].T, bounds["upper"].T, means.T, strict=True)
        return float(np.mean([concordance(*output, weight) for output in outputs]))

    def _check_mean(self) -> None:
        if any(np.inf in family.atoms for family in getattr(self, "families_", ())):
            raise ValueError(
                "the mean of y is infinite, since an expert never has the event. Use "
                "predict_quantile(X), or predict_dist(X).restricted_mean(time)."
            )

    def _squeeze_outputs(self, values: Array) -> Array:
        """Drop the last axis, of the outputs, if y had one dimension."""
        return values[..., 0] if self._single_output else values

    def predict_dist(
        self,
        X: Any,
        *,
        offset: Any = None,
        gate_proba: Any = None,
        y: Any = None,
        units: Any = None,
        time: Any = None,
        var_weights: Any = None,
    ) -> PredictiveDistribution:
        """Distribution of y for each row, given its features and, in a series, earlier rows.

        It is a mixture of those of the experts.

        Its `mean`, `std`, `var`, `median` and `mode` are attributes (arrays with a value for each
        row). Its `pdf` (of counts `pmf`), `cdf`, `ppf`, `interval`, `crps` and `rvs` are methods,
        and of times `sf`, `hazard`, `cumulative_hazard` and `restricted_mean`. See
        "Distributions and calibration" in the user guide.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What is known of the target, NaN elsewhere: some of several outputs, or rows of units,
            from which the regime is known better. With `random_features` a row is predicted from
            all other rows of its unit, and in series (`gate="markov"`) from earlier ones, never
            from its own y. None if nothing is known.
        units, time : array-like of shape (n_samples,), default=None
            Units of the rows, and their order, as in `fit`; for series and `random_features` only.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is to be the mean, as in `fit`; None for one.

        Returns
        -------
        distribution : PredictiveDistribution
            A mixture of normals, of distributions of counts, or of any families.

        Raises
        ------
        ValueError
            If the experts have no predictive distribution.

        See Also
        --------
        skmoe.inspection.CalibrationDisplay : Whether the distributions agree with observed values.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> y = np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
        >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
        >>> dist = moe.predict_dist([[-2.0], [2.0]])
        >>> dist.mean.round(1), dist.interval(0.9).shape
        (array([2., 2.]), (2, 2))
        """
        given = Rows(X, y, None, offset, units, time=time, n_values=var_weights)
        return self._distribution("predict_dist", given, gate_proba)

    @supports_dask
    def predict_interval(
        self,
        X: Any,
        coverage: float = 0.9,
        *,
        offset: Any = None,
        gate_proba: Any = None,
        y: Any = None,
        units: Any = None,
        time: Any = None,
        var_weights: Any = None,
    ) -> Array:
        """Central interval of y, given the features of a row and, in a series, earlier rows.

        There is as much probability below it as above it.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        coverage : float, default=0.9
            Probability of y in the interval, in (0, 1), under the model. An interval of counts,
            which includes its bounds, has at least this probability.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What is known of the target, NaN elsewhere: some of several outputs, or rows of units,
            from which the regime is known better. With `random_features` a row is predicted from
            all other rows of its unit, and in series (`gate="markov"`) from earlier ones, never
            from its own y. None if nothing is known.
        units, time : array-like of shape (n_samples,), default=None
            Units of the rows, and their order, as in `fit`; for series and `random_features` only.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is to be the mean, as in `fit`; None for one.

        Returns
        -------
        interval : ndarray of shape (n_samples, 2) or (n_samples, 2, n_outputs)
            Lower and upper bounds, in the units of y; of counts they are counts.

        Raises
        ------
        ValueError
            If the coverage is outside (0, 1), or the experts have no predictive distribution.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> y = np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
        >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
        >>> moe.predict_interval([[2.0]], coverage=0.9).round(1)
        array([[1.9, 2.1]])
        """
        check_coverage(coverage)
        given = Rows(X, y, None, offset, units, time=time, n_values=var_weights)
        return self._distribution("predict_interval", given, gate_proba).interval(coverage)

    @supports_dask
    def predict_quantile(
        self,
        X: Any,
        q: Any = 0.5,
        *,
        offset: Any = None,
        gate_proba: Any = None,
        y: Any = None,
        units: Any = None,
        time: Any = None,
        var_weights: Any = None,
    ) -> Array:
        """Quantiles of y, given the features of a row and, in a series, earlier rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        q : float or array-like of shape (n_quantiles,), default=0.5
            Probabilities in (0, 1), such as `[0.1, 0.5, 0.9]`. 0.5 is the median.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What is known of the target, NaN elsewhere: some of several outputs, or rows of units,
            from which the regime is known better. With `random_features` a row is predicted from
            all other rows of its unit, and in series (`gate="markov"`) from earlier ones, never
            from its own y. None if nothing is known.
        units, time : array-like of shape (n_samples,), default=None
            Units of the rows, and their order, as in `fit`; for series and `random_features` only.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is to be the mean, as in `fit`; None for one.

        Returns
        -------
        quantiles : ndarray of shape (n_samples,), or (n_samples, n_quantiles) for an array q
            In the units of y, with the axis of the outputs last, if there are several. Of counts
            the smallest count whose distribution function is at least q.

        Raises
        ------
        ValueError
            If a probability is outside (0, 1), or the experts have no predictive distribution.
        """
        given = Rows(X, y, None, offset, units, time=time, n_values=var_weights)
        return self._distribution("predict_quantile", given, gate_proba).ppf(q)

    def sample(
        self,
        X: Any,
        *,
        n_samples: int = 1,
        random_state: Any = None,
        offset: Any = None,
        gate_proba: Any = None,
        y: Any = None,
        units: Any = None,
        time: Any = None,
        var_weights: Any = None,
    ) -> Array:
        """Random draws of y, given the features of a row and, in a series, earlier rows.

        They are from the predictive distribution.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        n_samples : int, default=1
            Draws for each row.
        random_state : int, RandomState instance or None, default=None
            Source of randomness. An integer makes the draws reproducible.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            What is known of the target, NaN elsewhere: some of several outputs, or rows of units,
            from which the regime is known better. With `random_features` a row is predicted from
            all other rows of its unit, and in series (`gate="markov"`) from earlier ones, never
            from its own y. None if nothing is known.
        units, time : array-like of shape (n_samples,), default=None
            Units of the rows, and their order, as in `fit`; for series and `random_features` only.
        var_weights : array-like of shape (n_samples,), default=None
            Numbers of values of which each y is to be the mean, as in `fit`; None for one.

        Returns
        -------
        draws : ndarray of shape (n_rows, n_samples) or (n_rows, n_samples, n_outputs)
            In the units of y; counts for experts of counts.

        Raises
        ------
        ValueError
            If `n_samples` is not a positive integer, or the experts have no predictive
            distribution.
        """
        n_samples = check_integer("n_samples", n_samples, least=1)
        given = Rows(X, y, None, offset, units, time=time, n_values=var_weights)
        distribution = self._distribution("sample", given, gate_proba)
        return np.asarray(distribution.rvs(n_samples, random_state))

    def _distribution(self, method: str, given: Rows, gate_proba: Any) -> PredictiveDistribution:
        self._warn_of_missing(method, given, "offset")
        require_distribution(self._fitted.mixture.experts, method)
        rows, *known = self._with_gate(given, gate_proba)
        found = self._fitted.distribution(rows, self._single_output, *known)
        found.output_names = getattr(self, "output_names_", ())
        return found


class MixtureClassifierMixin(ClassifierMixin, NewRowsMixin):
    """Methods of classifications."""

    class_weight: Any
    classes_: Array

    # Default of `alpha` without and with a base model.
    _default_alphas = 1.0, 10.0

    def _squeeze_outputs(self, values: Array) -> Array:
        """Values whose last axis is that of the classes, which stays."""
        return values

    @supports_dask
    def predict(
        self, X: Any, *, gate_proba: Any = None, y: Any = None, units: Any = None, time: Any = None
    ) -> Array:
        """Most probable class of each row, given its features and, in a series, earlier rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.
        y : array-like of shape (n_samples,), default=None
            Classes of rows of units, None or NaN where they are not known: a row is predicted from
            the others of its unit, and in series (`gate="markov"`) from earlier ones. None if
            nothing is known.
        units, time : array-like of shape (n_samples,), default=None
            Series of the rows and their order, as in `fit` with `gate="markov"`.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.
        """
        probs = self.predict_proba(X, gate_proba=gate_proba, y=y, units=units, time=time)
        return self.classes_[np.argmax(probs, axis=1)]

    @supports_dask
    def predict_proba(
        self, X: Any, *, gate_proba: Any = None, y: Any = None, units: Any = None, time: Any = None
    ) -> Array:
        """Probability of each class, given the features of a row and, in a series, earlier rows.

        It is that of the experts, weighted by the gate.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.
        y : array-like of shape (n_samples,), default=None
            Classes of rows of units, None or NaN where they are not known: a row is predicted from
            the others of its unit, and in series (`gate="markov"`) from earlier ones. None if
            nothing is known.
        units, time : array-like of shape (n_samples,), default=None
            Series of the rows and their order, as in `fit` with `gate="markov"`.

        Returns
        -------
        probs : ndarray of shape (n_samples, n_classes)
            Probabilities in the order of `classes_`.
        """
        rows, *known = self._with_gate(Rows(X, y, unit=units, time=time), gate_proba)
        return self._fitted.predict(rows.X, None, *known).T

    @supports_dask
    def predict_log_proba(
        self, X: Any, *, gate_proba: Any = None, y: Any = None, units: Any = None, time: Any = None
    ) -> Array:
        """Log probability of each class, given features and, in a series, earlier rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts to use, such as `responsibilities(...).rows(units)` of
            units with a history; None for those of the gate.
        y : array-like of shape (n_samples,), default=None
            Classes of rows of units, None or NaN where they are not known: a row is predicted from
            the others of its unit, and in series (`gate="markov"`) from earlier ones. None if
            nothing is known.
        units, time : array-like of shape (n_samples,), default=None
            Series of the rows and their order, as in `fit` with `gate="markov"`.

        Returns
        -------
        log_probs : ndarray of shape (n_samples, n_classes)
            Natural logarithms of the probabilities, in the order of `classes_`.
        """
        probs = self.predict_proba(X, gate_proba=gate_proba, y=y, units=units, time=time)
        return np.log(np.maximum(probs, TINY))

    @supports_dask
    def predict_experts(self, X: Any) -> Array:
        """Class probabilities of each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        probs : ndarray of shape (n_samples, n_experts, n_classes)
            Probabilities in the order of `classes_`.
        """
        X = self._checked(Rows(X)).X
        return self._fitted.predict_experts(X).transpose(2, 0, 1)

    def score(
        self, X: Any, y: Any, *, sample_weight: Any = None, units: Any = None, time: Any = None
    ) -> float:
        """Accuracy: fraction of the rows whose class is predicted.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Observed labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        units, time : array-like of shape (n_samples,), default=None
            Series of the rows and their order, as in `fit` with `gate="markov"`. Each row is
            predicted from earlier rows; those whose y is NaN do not count.

        Returns
        -------
        score : float
            From 0 to 1; weighted by `sample_weight`, if given.
        """
        past = self._past(y, units, time)
        return score_of_prediction(self, self.predict(X, **past), y, sample_weight)

    def _effective_weight(self, target: Array, weight: Array) -> Array:
        return class_weights(self.class_weight, self.classes_, target, weight)
