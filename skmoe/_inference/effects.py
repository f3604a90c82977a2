"""How predictions depend on the features: in single rows, and on average with standard errors.

An average effect is that of a change of one feature from a low to a high value in all rows. Let g
and mu be the probabilities and means of the experts at both ends. Through the experts the mean of y
changes by the sum over them of mean(g) (mu_high - mu_low), and through the gate by that of (g_high
- g_low) mean(mu). Standard errors are those of the delta method [1]_.

References
----------
.. [1] G. W. Oehlert (1992), "A note on the delta method", The American Statistician 46, 27-29.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product, zip_longest
from textwrap import wrap
from typing import Any, NamedTuple, Self, cast

import numpy as np
from scipy import sparse

from skmoe._data.checks import check_choice, check_level, numbers, shown
from skmoe._data.rows import Rows
from skmoe._inference import inference as results
from skmoe._inference.coefficients import GATE, indicator_columns
from skmoe._inference.inference import WIDTH, Inference, Result, Term, WaldTest, describe_test
from skmoe._inference.labels import Labels, format_percent, printable_line, printable_name
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.mixture import Data
from skmoe._numerics.typing import TINY, Array
from skmoe._optional import import_pandas
from skmoe.exceptions import OptionWarning, warn_user

# --- average effects --------------------------------------------------------------------------

# Part of the effects of the whole mixture.
MIXTURE = "mixture"

# Change of a coordinate in central differences.
COORDINATE_STEP = 1e-4


def derivative_by(
    function: Callable[[FittedMixture], Array], fitted: FittedMixture, index: Any
) -> Array:
    """Derivative of a function of a fit along coordinates, all of which change, by differences."""
    step = np.zeros(len(fitted.mixture.first))
    step[index] = COORDINATE_STEP
    step = fitted.mixture.expanded(step)
    ends = fitted.theta + step, fitted.theta - step
    ahead, behind = (function(fitted._replace(theta=theta)) for theta in ends)
    return (ahead - behind) / (2.0 * COORDINATE_STEP)


def slopes_by_coordinates(fitted: FittedMixture, function: Callable[..., Array]) -> Array:
    """Derivatives (..., R) of a function of a fit by each coordinate."""
    indices = range(len(fitted.mixture.first))
    return np.stack([derivative_by(function, fitted, r) for r in indices], axis=-1)


class Ends(NamedTuple):
    """Some of the rows at both ends of a change."""

    rows: Sequence[Data]
    added: Sequence[Array | float]  # to the means, by a base model
    width: float
    n_responses: int | None  # None for effects on the gate
    at_time: tuple[str, float] | None = None  # method of distributions in place of the mean

    def gate(self, fitted: FittedMixture) -> Array:
        """Probabilities (2, K, n) of the experts."""
        return np.exp([fitted.gate_logs(data) for data in self.rows])

    def means(self, fitted: FittedMixture) -> Array:
        """Means (2, K, m, n) of the experts; for effects on the gate, of whether it is each one."""
        if self.n_responses is None:
            is_expert = np.eye(fitted.mixture.n_experts)[..., None]
            return np.tile(is_expert, (2, 1, 1, len(self.rows[0].rows.weight)))
        if self.at_time is not None:
            return np.stack([fitted.at_time(data, *self.at_time) for data in self.rows])
        means = [fitted.means(data)[:, -self.n_responses :] for data in self.rows]
        return np.stack([own + added for own, added in zip(means, self.added, strict=True)])

    def sums(self, gate: Array, mean: Array) -> Array:
        """Weighted sums over the rows, (K, 2 m + 1): linear in the probabilities and in the means.

        They are the changes through each expert, those through its probability, and its share.
        """
        (low_gate, high_gate), (low, high), weight = gate, mean, self.rows[0].rows.weight
        weighted = 0.5 * (low_gate + high_gate) * weight
        changed = (high_gate - low_gate) * weight / self.width
        through_experts = np.einsum("kn,kmn->km", weighted, (high - low) / self.width)
        through_gate = np.einsum("kn,kmn->km", changed, 0.5 * (low + high))
        return np.hstack([through_experts, through_gate, weighted.sum(axis=1, keepdims=True)])

    def sums_by_coordinates(self, fitted: FittedMixture, index: Array) -> Array:
        """Derivatives (R, K, 2 m + 1) of the sums by the coordinates.

        `index` (K, P) has the coordinates of each expert, which change its own mean only; -1 for
        none.
        """
        gate, mean = self.gate(fitted), self.means(fitted)
        n_all, n_of_gate = len(fitted.mixture.first), len(fitted.mixture.gate.first)
        found = np.zeros((n_all, *self.sums(gate, mean).shape))
        for r in range(n_all - n_of_gate, n_all):
            found[r] = self.sums(derivative_by(self.gate, fitted, r), mean)
        for own in () if self.n_responses is None else index.T:
            present = np.flatnonzero(own >= 0)
            of_means = self.sums(gate, derivative_by(self.means, fitted, own[present]))
            found[own[present], present, :-1] += of_means[present, :-1]
        return found


# Means are extrapolated if at least this share of the values is expected beyond the last time.
MIN_SHARE_BEYOND = 0.005


def note_on_means(fitted: FittedMixture, rows: Rows, last: Array) -> str:
    """What share of values is expected beyond the last times (m,) of a fit; "" if nearly none.

    The rows have weights of sum one.
    """
    beyond = rows.weight @ fitted.distribution(rows, single_output=False).sf(last[None, None])[:, 0]
    j = int(np.argmax(beyond))
    if beyond[j] < MIN_SHARE_BEYOND:
        return ""
    return (
        f"Means are extrapolated: {format_percent(beyond[j])} of the values are expected beyond "
        f"{last[j]:g}, the last time of the fit. For effects until a time use "
        f'what="restricted_mean", time={last[j]:g} or less.'
    )


def warn_of_times(estimator: Any, times: Any) -> None:
    """Warn of times (NaN for none) beyond the last one of a fit to censored y."""
    latest, last = np.max(times), np.max(getattr(estimator, "last_time_", np.inf))
    if latest > last * (1.0 + 1e-5):  # as messages round it
        warn_user(
            f"time {latest:g} is beyond {last:g}, the last time of the fit: what comes later is "
            f"extrapolated. Pass a time of {last:g} or less, in the unit of y.",
            OptionWarning,
        )


class AverageEffects(Inference):
    """Average effects of features on predictions, with standard errors.

    Returned by `skmoe.inspection.average_effects`; it is not constructed by hand. See "Average
    effects" in the user guide.

    Attributes
    ----------
    terms : list of (part, response, name)
        The part of the mixture, the output, class or expert that changes, and the feature. The part
        is "mixture", the name of an expert, or "gate".
    estimates : ndarray of shape (n_terms,)
        Average effects.
    covariance : ndarray of shape (n_terms, n_terms)
        Their covariance; NaN without `inference`.
    reasons : list of str of length n_terms
        Why an effect has no standard error; empty if it has one.
    method : str
        Method of the covariance; empty without `inference`.
    replicates : ndarray of shape (n_bootstrap, n_terms) or None
        Effects in the refits of the bootstrap.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import average_effects
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> average_effects(moe, X, features=["bmi", "sex"]).terms[1]
    Term(part='mixture', response='', name='sex: 1 to 2')
    """

    _heading = "effect"

    def __repr__(self) -> str:
        lines: list[str] = []
        for part in dict.fromkeys(term.part for term in self.terms):
            chosen = [i for i, term in enumerate(self.terms) if term.part == part]
            lines.append(printable_name(part))
            lines += self._tables(chosen, 0.95)
        lines += [f"Standard errors: {self.method}."] if self.method else []
        lines += wrap(self.note, WIDTH)
        return "\n".join(map(printable_line, lines))


def average_effects_of(
    fitted: FittedMixture,
    changes: Iterable[tuple[str, Rows, Rows, float]],
    labels: Labels,
    on_gate: bool,
    inference: Inference | None,
    at_time: tuple[str, float] | None = None,
) -> AverageEffects:
    """Effects of changes on the responses, or on the probabilities of the experts.

    In the place of means they may be on a function of their distributions at a time. A change has a
    name, validated rows at both ends, with weights of sum one, and its width in
    units of the effect.
    """
    refits = () if inference is None else inference.refits
    fits = [fitted._replace(theta=theta) for theta in (fitted.theta, *refits)]
    names, values, derivatives = [], [], []
    responses = labels.responses
    n_responses = None if on_gate else len(responses)
    for name, low, high, width in changes:
        ends = map(fitted.preprocessor.transform_blocks, (low, high))
        blocks = [
            Ends(
                [fitted.data(rows) for rows, _ in pair],
                [added for _, added in pair],
                *(width, n_responses, at_time),
            )
            for pair in zip(*ends, strict=True)
        ]
        sums = [
            np.sum([block.sums(block.gate(fit), block.means(fit)) for block in blocks], axis=0)
            for fit in fits
        ]
        names.append(name)
        values.append([_effects(of_fit, on_gate) for of_fit in sums])
        if inference is not None:
            index = _coordinates_of_experts(inference, fitted.mixture.n_experts)
            slopes = [block.sums_by_coordinates(fitted, index) for block in blocks]
            step = COORDINATE_STEP * np.sum(slopes, axis=0)
            change = _effects(sums[0] + step, on_gate) - _effects(sums[0] - step, on_gate)
            derivatives.append(np.moveaxis(change, 0, -1) / (2.0 * COORDINATE_STEP))
    parts, changing = [MIXTURE], list(responses) if len(responses) > 1 else [""]
    if on_gate:
        parts, changing = [GATE], labels.experts
    elif fitted.mixture.n_experts > 1:
        parts = [MIXTURE, *labels.experts, GATE]
    terms = [Term(*each) for each in product(parts, changing, names)]
    estimates, *of_refits = np.stack(values, axis=-1).reshape(len(fits), -1)
    no_term = np.zeros(len(terms), dtype=bool)
    found = AverageEffects(terms, estimates, no_term, no_term, [""] * len(terms))
    if inference is None:
        return replace(found, full_covariance=np.full((len(terms), len(terms)), np.nan))
    of_terms = np.stack(derivatives, axis=-2).reshape(len(terms), -1)
    covariance, reasons = results.delta_method(inference, of_terms)
    found.method, found.reasons = f"delta method, {inference.method}", reasons
    if of_refits:
        found.method, found.replicates = inference.method, np.array(of_refits)
        covariance = np.atleast_2d(np.cov(found.replicates, rowvar=False))
    found.full_covariance = covariance
    return found


def _coordinates_of_experts(inference: Inference, n_experts: int) -> Array:
    """Coordinates (K, P) of each expert among all that are estimated; -1 for none."""
    of_experts: list[list[int]] = [[] for _ in range(n_experts)]
    for listed in inference.blocks:
        if listed.expert is not None:
            of_experts[listed.expert] += listed.coordinates.tolist()
    return np.array(list(zip_longest(*of_experts, fillvalue=-1))).T


def _effects(sums: Array, on_gate: bool) -> Array:
    """Effects (..., P, m) of a change, by its sums (..., K, 2 m + 1)."""
    n_responses = sums.shape[-1] // 2
    experts, gate, share = np.split(sums, [n_responses, 2 * n_responses], axis=-1)
    of_gate = gate.sum(axis=-2, keepdims=True)
    of_all = experts.sum(axis=-2, keepdims=True) + of_gate
    if on_gate or share.shape[-2] == 1:
        return of_all
    return np.concatenate([of_all, experts / np.maximum(share, TINY), of_gate], axis=-2)


# --- predictions of new rows ------------------------------------------------------------------

# Methods of predictive distributions at a time, by what is predicted.
AT_TIME = {"restricted_mean": "restricted_mean", "survival": "sf"}


def checked_times(what: str, time: Any, ndim: int = 0) -> Array:
    """Times of what is predicted, NaN of what has none; a single one has no axis."""
    times = numbers("time", np.nan if time is None else time, "Pass times in the unit of y.")
    if times.ndim > ndim or not times.size or np.isfinite(times).all() != (what in AT_TIME):
        raise ValueError(
            f"time must be a finite number{', or a list of them,' * ndim} with what="
            f"{list(AT_TIME)}, and None without; got {shown(time)} with what={what!r}. Pass "
            'what="survival" and times in the unit of y.'
        )
    return times


class Quantity(NamedTuple):
    """What is predicted of new rows."""

    what: str
    times: Array  # () or (T,), of survival and restricted means
    quantile: float

    @classmethod
    def checked(cls, what: Any, time: Any, quantile: Any) -> Self:
        """A quantity as users give it; a single time has no axis."""
        check_choice("what", what, ("mean", "quantile", *AT_TIME))
        times = checked_times(what, time, ndim=1)
        prob = 0.5 if quantile is None else quantile
        check_level(prob, name="quantile")
        if quantile is not None and what != "quantile":
            raise ValueError(
                f"quantile must be None with what={what!r}; got {shown(quantile)}. Pass "
                'what="quantile".'
            )
        return cls(what, times, float(prob))

    def of(self, fitted: FittedMixture, rows: Rows) -> Array:
        """Values (n, T, m)."""
        if self.what == "mean":
            return fitted.predict(rows.X, rows.offset).T[:, None]
        distribution = fitted.distribution(rows, single_output=False)
        if self.what == "quantile":
            return distribution.ppf([self.quantile])
        scaling = fitted.preprocessor.target_scaling
        assert scaling is not None
        points = np.tile(self.times.reshape(1, -1, 1), len(scaling.center))
        return np.asarray(getattr(distribution, AT_TIME[self.what])(points))

    def errors(self, inference: Inference, fitted: FittedMixture, rows: Rows) -> Array:
        """Standard errors (n, T, m) by the delta method.

        Those of a quantile are those of the survival there, over the density.
        """
        function: Callable[[FittedMixture], Array] = partial(self.of, rows=rows)
        density = np.ones(())
        if self.what == "quantile":
            values, at = self.of(fitted, rows), fitted.distribution(rows, single_output=False)
            has_step = np.isinf(values) | (at.cdf(values) > at.cdf_left(values))
            density = np.where(has_step, np.nan, at.pdf(np.where(has_step, 0.0, values)))
            function = lambda fit: fit.distribution(rows, single_output=False).sf(values)  # noqa: E731
        slopes = slopes_by_coordinates(fitted, function)
        return np.asarray(results.delta_errors(inference, slopes) / density)

    def scale(self, fitted: FittedMixture, output: int) -> str:
        """Name of the scale of intervals for an output, by the link of its families."""
        experts = fitted.mixture.experts
        if self.what == "survival" or experts.is_classifier:
            return "logit" if experts.is_classifier else self.what
        own = [group.family for group in experts.groups if group.output in (None, output)]
        links = {family.link for family in own} - {""} or {experts.link}
        link = links.pop() if len(links) == 1 else ""
        link = "logit" if link == "log" and self.what == "restricted_mean" else link
        return link if link in results.SCALES else ""


def predictions_of(
    inference: Inference, fitted: FittedMixture, rows: Rows, quantity: Quantity, level: float
) -> dict[str, Array]:
    """Estimates, errors and limits (n T m,) of a quantity of rows."""
    values = quantity.of(fitted, rows)
    refits = [quantity.of(fitted._replace(theta=theta), rows) for theta in inference.refits]
    replicates = np.stack(refits) if refits else None
    errors = np.std(refits, axis=0, ddof=1) if refits else quantity.errors(inference, fitted, rows)
    limits = np.empty((2, *values.shape))
    # Means until a time have its scale, and none until zero or a negative time.
    is_scaled = quantity.what == "restricted_mean" and quantity.times > 0.0
    largest = np.ravel(np.where(is_scaled, quantity.times, 1.0))
    for output in range(values.shape[2]):
        own, error = values[..., output] / largest, errors[..., output] / largest
        drawn = None if replicates is None else replicates[..., output] / largest
        name = quantity.scale(fitted, output)
        # What is certain, such as survival until 0, has no scale.
        is_certain = error == 0.0
        if name == "logit" and not (is_certain | (own >= 0.0) & (own <= 1.0)).all():
            name = ""  # of ratings
        ends = results.limits_on_scale(name, own, error, level, drawn)
        ends = np.where(is_certain[..., None], own[..., None], ends)
        limits[..., output] = np.moveaxis(ends * largest[:, None], -1, 0)
    names = "estimate", "standard error", "lower", "upper"
    return dict(zip(names, map(np.ravel, (values, errors, *limits)), strict=True))


# --- distal outcomes --------------------------------------------------------------------------


class DistalOutcome(Inference):
    """Means or proportions of an outcome by regime, with standard errors.

    Returned by `skmoe.inspection.distal_outcome`; it is not constructed by hand. See "Outcomes that
    come later" in the user guide.

    Attributes
    ----------
    terms : list of (part, response, name)
        The expert; the category, or "" of numbers; and "mean" or "proportion".
    estimates : ndarray of shape (n_terms,)
        Means or proportions.
    covariance : ndarray of shape (n_terms, n_terms)
        Their covariance.
    method : str
        Method of the estimates.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import distal_outcome
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, np.abs(X[:, 0]))
    >>> distal_outcome(moe, X, np.abs(X[:, 0]), X[:, 0]).terms[0]
    Term(part='expert 0', response='', name='mean')
    """

    def _columns(self, level: float, error: str, *ends: str) -> dict[str, Array]:
        columns = super()._columns(level, error, *ends)
        return {name: values for name, values in columns.items() if name not in ("z", "p")}

    @property
    def equality(self) -> WaldTest:
        """Wald's test that the outcome has the same distribution, or mean, in all regimes."""
        n_experts = len({term.part for term in self.terms})
        differences = np.eye(n_experts)[1:] - np.eye(n_experts)[:1]
        contrasts = np.kron(np.eye(len(self.terms) // n_experts), differences)
        return results.wald(contrasts @ self.estimates, contrasts @ self.covariance @ contrasts.T)

    def __repr__(self) -> str:
        listed = [Term("", term.response, term.part) for term in self.terms]
        columns = self._columns(0.95, "std. error", "2.5 %", "97.5 %")
        lines = results.table_lines(listed, columns, self.reasons, list(range(len(listed))))
        if self.equality.df:
            lines += wrap(describe_test("Wald", self.equality, "Equality of the regimes is"), WIDTH)
        return "\n".join(map(printable_line, lines))


# --- predictions of single rows ---------------------------------------------------------------


class Explanation(Result, dict[str, Array]):
    """Contributions of experts, gate and features to the predictions of rows.

    Returned by the method `explain` of a fitted estimator; it is not constructed by hand. It is a
    dict of arrays, which are attributes too. Which of the five there are depends on the mixture.
    See "Predictions of single rows" in the user guide.

    Attributes
    ----------
    gate : ndarray of shape (n_samples, n_experts)
        Probabilities of the experts.
    experts : ndarray of shape (n_samples, n_experts) or (n_samples, n_experts, n_responses)
        Predictions of the experts.
    slope : ndarray of shape (n_samples, n_features) or (n_samples, n_responses, n_features)
        Derivatives of the means of the experts by the features, averaged with the gate. Of columns
        of zeros and ones, the change from zero to one.
    gate_effect : ndarray of the shape of `slope`
        Derivatives, or changes, of the prediction by the features through the gate.
    base : ndarray of shape (n_samples,) or (n_samples, n_responses)
        Predictions of the base model, which `experts` contain and the derivatives leave out.
    expert_names : list of str of length n_experts
        Names of the experts.
    feature_names : list of str of length n_features
        Names of the features.
    response_names : list of str of length n_responses
        Names of the outputs, or of the classes.
    index : pandas.Index or None
        Labels of the rows, if they came in a pandas frame.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = pd.DataFrame({"depth": np.linspace(-3, 3, 200)})
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, 1 - X.depth.abs())
    >>> explanation = moe.explain(X)
    >>> explanation
    Explanation of 200 rows: gate, experts, slope, gate_effect
    >>> explanation.to_frame("slope").loc[[0, 199]].round(1)
    name  depth
    0       1.0
    199    -1.0
    """

    def __init__(
        self, arrays: Mapping[str, Array], labels: Labels, index: Any, switch: Any = None
    ) -> None:
        super().__init__(arrays)
        self._switch = switch  # the next expert (n,) and changes (n, p); None without gate slopes
        self.expert_names, self.feature_names = labels.experts, labels.features
        self.response_names = labels.classes or labels.responses
        self.index = index

    def __getattr__(self, name: str) -> Array:
        if name in self:
            return self[name]
        raise AttributeError(f"this explanation has no {name}; it has {list(self)}")

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]

    def to_frame(self, what: str | None = None) -> Any:
        """A pandas frame with a row for each row that was explained.

        Parameters
        ----------
        what : {"gate", "experts", "slope", "gate_effect", "base"}, default=None
            The array to return, with the names of experts or features as columns. None returns all,
            side by side.

        Returns
        -------
        frame : pandas.DataFrame
            With the index of the rows, if they came in a pandas frame. Columns have several levels
            if all arrays are returned, or if there are several outputs or classes.

        Raises
        ------
        ValueError
            If the explanation has no such array.
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("Explanation.to_frame")
        if what is not None:
            check_choice("what", what, tuple(self))
        labels, values = [], []
        names = {"gate": self.expert_names, "experts": self.expert_names, "base": ["base"]}
        for quantity in list(self) if what is None else [what]:
            own, responses = np.asarray(self[quantity]), [""]
            if own.ndim == (2 if quantity == "base" else 3):
                responses = self.response_names
                # Responses come before the names of experts, too.
                own = own.transpose(0, 2, 1) if quantity == "experts" else own
            columns = names.get(quantity, self.feature_names)
            labels += [(quantity, response, name) for response in responses for name in columns]
            values.append(own.reshape(len(own), -1))
        index = pandas.MultiIndex.from_tuples(labels, names=["quantity", "response", "name"])
        if not any(response for _, response, _ in labels):
            index = index.droplevel("response")
        index = index if what is None else index.droplevel("quantity")
        return pandas.DataFrame(np.hstack(values), index=self.index, columns=index)

    def nearest_change(self) -> Any:
        """The smallest change of the features after which another expert is as probable.

        The gate is linear in the features, so that the nearest such point has a closed form. Its
        distance is the root of the sum of squares of the changes in standard deviations of the
        features. Features that the gate does not use, and columns of zeros and ones, stay.

        Returns
        -------
        frame : pandas.DataFrame
            A row for each row that was explained: the "expert" that a slightly larger change makes
            the most probable one, and the change of each feature. NaN where there is none.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If the gate has no slopes of the features.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X = np.linspace(-3, 3, 200)[:, None]
        >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, 1 - np.abs(X[:, 0]))
        >>> moe.explain([[-2.0], [0.5]]).nearest_change().round(1)
             expert   x0
        0  expert 1  2.0
        1  expert 0 -0.5
        """
        if self._switch is None:
            raise ValueError(
                "nearest_change needs a gate with slopes of the features; this one has none. Fit "
                'gate="softmax" without a base, and two experts or more.'
            )
        expert, change = self._switch
        exists = np.isfinite(change).all(axis=1)
        names = np.where(exists, np.array(self.expert_names, dtype=object)[expert], None)
        columns = {"expert": names, **dict(zip(self.feature_names, change.T, strict=True))}
        return results.frame_of(self, columns, self.index)

    def __repr__(self) -> str:
        return f"Explanation of {len(self.gate)} rows: {', '.join(self)}"


def has_gate_effects(fitted: FittedMixture, attributes: Mapping[str, Any]) -> bool:
    """Whether predictions are means, and the columns of `gate_coef_` are the features."""
    slopes = attributes.get("gate_coef_")
    is_mean = fitted.mixture.experts.explains_mean and fitted.preprocessor.extra_features is None
    return is_mean and slopes is not None and slopes.shape[1] == attributes["n_features_in_"]


def nearest_changes(log_gate: Array, slopes: Array, scale: Array) -> tuple[Array, Array]:
    """For each row the expert whose region is the nearest, (n,), and the change (n, p) to it.

    The gate has log probabilities (K, n) and slopes (K, p). Features are in units of their scale
    (p,), which is zero for those that stay. At the nearest point of the hyperplane on which an
    expert is as probable as the most probable one, no other expert is more probable.
    """
    rows, own = np.arange(log_gate.shape[1]), log_gate.argmax(axis=0)
    contrasts = (slopes[own][:, None] - slopes) * scale  # (n, K, p)
    gaps, squares = (log_gate[own, rows] - log_gate).T, np.square(contrasts).sum(axis=2)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(squares > 0.0, gaps / np.sqrt(squares), np.inf)
        distance[rows, own] = np.inf
        other = distance.argmin(axis=1)
        step = np.where(np.isfinite(distance[rows, other]), gaps[rows, other], np.nan)
        along = (step / squares[rows, other])[:, None]
        return other, 0.0 - along * contrasts[rows, other] * scale  # no -0.0


def feature_effects(
    fitted: FittedMixture, attributes: Mapping[str, Any], rows: Rows, gate: Array, means: Array
) -> Array:
    """Derivatives of predictions by the features, through the experts and the gate, (n, 2, m, p).

    The rows have probabilities `gate` (K, n) and predictions `means` (K, m, n). Of indicators the
    effects are the changes from zero to one, with the mean probabilities and the mean predictions
    of both ends as weights, so that their sum is the whole change.
    """
    experts, units = fitted.mixture.experts, fitted.preprocessor
    names = "expert_coef_", "expert_dispersion_coef_"
    slopes = [np.nan_to_num(attributes[name]) for name in names if name in attributes]
    slopes = [own.reshape(len(gate), -1, own.shape[-1]) for own in slopes]
    # Derivatives by the linear predictor of the mean and, if it depends on that, of the log
    # dispersion, (B, K, m, n).
    by_predictor = [np.ones((*slopes[0].shape[:2], gate.shape[1]))]
    if experts.explains_mean and experts.link != "identity":
        theta, scaling = fitted.mixture.split(fitted.theta)[0], units.target_scaling
        scale = np.ones(1) if scaling is None else scaling.scale
        of_blocks = [
            experts.mean_slopes(theta, fitted.data(block))
            for block, _ in units.transform_blocks(rows)
        ]
        by_predictor = list(scale[:, None] * np.concatenate(of_blocks, axis=-1))
    of_experts: Any = sum(
        np.einsum("kn,kmn,kmp->nmp", gate, by, own)
        for by, own in zip(by_predictor, slopes, strict=False)
    )
    effects = np.stack([of_experts, np.zeros_like(of_experts)], axis=1)
    if has_gate_effects(fitted, attributes):
        slope = attributes["gate_coef_"]
        relative = slope[:, None] - gate.T @ slope  # (K, n, p)
        effects[:, 1] = np.einsum("kn,kmn,knp->nmp", gate, means, relative)
    if not experts.explains_mean or fitted.mixture.gate.persists:
        return effects
    columns = indicator_columns(fitted, attributes.get("feature_range_"))
    X = rows.X.toarray() if sparse.issparse(rows.X) and columns.any() else rows.X
    for j in np.flatnonzero(columns):
        ends = []
        for value in cast(Array, units.feature_range)[:, j]:
            changed = np.array(X)
            changed[:, j] = value
            probability = np.exp(fitted.log_gate(changed))[:, None]
            ends.append((probability, fitted.predict_experts(changed, rows.offset)))
        (low_gate, low), (high_gate, high) = ends
        change = 0.5 * (low_gate + high_gate) * (high - low)
        effects[:, 0, :, j] = change.sum(axis=0).T
        effects[:, 1, :, j] = ((high_gate - low_gate) * 0.5 * (low + high)).sum(axis=0).T
    return effects
