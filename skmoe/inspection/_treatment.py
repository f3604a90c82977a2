"""Effects of a treatment: in each regime, in each row, and what they are worth in other rows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri
from sklearn.base import is_classifier

from skmoe._data.checks import (
    check_choice,
    check_columns,
    check_metadata,
    check_weights,
    has_bounds,
    numbers,
    shown,
)
from skmoe._data.rows import Rows, index_rows
from skmoe._estimators.methods.inference import infer_average_effects, infer_if_possible
from skmoe._estimators.methods.input_steps import fitted_to, held_out_folds, mixture_of
from skmoe._inference.coefficients import GATE
from skmoe._inference.effects import AverageEffects
from skmoe._inference.inference import (
    WIDTH,
    Result,
    Term,
    WaldTest,
    describe_test,
    frame_of,
    table_lines,
)
from skmoe._inference.labels import feature_labels, format_percent, printable_line, printable_name
from skmoe._numerics.typing import TINY, Array
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject
from skmoe.inspection._series import check_independent

# Groups of equal size of the rows in a fold, by their predicted effects.
N_GROUPS = 5

# Differences of probabilities of the experts up to this size are round-off.
GATE_TOL = 1e-9

# Who is treated, in the order of the values of the policies.
POLICIES = "where it helps", "all", "nobody"

# Confidence of the intervals of texts and pictures.
LEVEL = 0.95

# Width of a panel, and heights of an effect and of the frame, in inches.
PANEL_WIDTH, EFFECT_HEIGHT, LEAST_HEIGHT = 4.5, 0.5, 3.2


class PolicyValues(NamedTuple):
    """Means of y in held-out rows if the treatment is given where it helps, to all, or to nobody.

    The differences are those of the first mean from each.
    """

    share_treated: Array
    value: Array
    standard_error: Array
    difference: Array
    difference_error: Array


class EffectCalibration(NamedTuple):
    """Predicted and observed effects in groups of held-out rows, by the predicted effect."""

    n_rows: Array
    predicted: Array
    observed: Array
    standard_error: Array


@dataclass(kw_only=True, eq=False, repr=False)
class TreatmentEffects(Result, draw.Display):
    """Effects of a treatment in each regime and row, and what a choice by them is worth.

    Returned by `skmoe.inspection.treatment_effects`; it is not constructed by hand. See "Does the
    treatment work in everyone?" in the user guide.

    Attributes
    ----------
    effects : AverageEffects
        Average effects: first that of the mixture, then those of the experts.
    equality : object or None
        Wald's test that the effects of all experts are equal, with `statistic`, `df` and `p_value`;
        None with one expert, and without standard errors.
    row_effects : ndarray of shape (n_samples,)
        Effect in each row: the effects of the experts there, averaged with its probabilities.
    share_helped : float
        Share of the rows in which the effect is an improvement, by their weights.
    better : str
        Whether "higher" or "lower" values of y are better.
    values : NamedTuple of ndarrays or None
        With `cv`: the mean of y in held-out rows if the treatment is given where it helps, to all
        and to nobody (`value`, `standard_error`), and who would be treated (`share_treated`).
        `difference` and `difference_error` are those of the first mean from each.
    calibration : NamedTuple of ndarrays or None
        With `cv`: of the fifths of the held-out rows, by their predicted effects, the numbers of
        rows (`n_rows`), the mean effects (`predicted`), and the differences of the weighted means
        of treated and untreated rows (`observed`, `standard_error`).
    held_out_effects : ndarray of shape (n_samples,) or None
        With `cv`: the effect in each row by the fit to the rows of other folds.
    ax_ : ndarray of matplotlib axes
        After `plot`: the effects with 95 % intervals, and the calibration.
    figure_ : matplotlib figure
        After `plot`: its figure.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import treatment_effects
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.normal(size=400), rng.integers(2, size=400)])
    >>> y = np.where(X[:, 0] > 0, X[:, 1], 3 - X[:, 1]) + 0.3 * rng.normal(size=400)
    >>> moe = MixtureOfExpertsRegressor(2, gate_features=[0], random_state=0).fit(X, y)
    >>> found = treatment_effects(moe, X, y, treatment=1)
    >>> np.sort(found.effects.estimates).round(1)
    array([-1. ,  0. ,  1. ])
    >>> found.equality.df
    1
    """

    effects: AverageEffects
    equality: WaldTest | None
    row_effects: Array
    share_helped: float
    better: str
    values: PolicyValues | None = None
    calibration: EffectCalibration | None = None
    held_out_effects: Array | None = None

    def to_frame(self, table: str = "effects") -> Any:
        """A table as a pandas frame.

        Parameters
        ----------
        table : {"effects", "values", "calibration"}, default="effects"
            Effects in the mixture and in each expert; or with `cv` means of y by who is treated,
            or predicted and observed effects in fifths of the rows.

        Returns
        -------
        frame : pandas.DataFrame
            One row for each effect, policy or fifth.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If the table is unknown, or needs `cv`.
        """
        check_choice("table", table, ("effects", "values", "calibration"))
        if table == "effects":
            return self.effects.to_frame()
        found = self.values if table == "values" else self.calibration
        if found is None:
            raise ValueError(
                f"table={table!r} needs held-out rows, of which there are none. Pass y and cv=5 to "
                "treatment_effects."
            )
        columns = found._asdict()
        if table == "values":
            return frame_of(self, columns, POLICIES, "treated")
        return frame_of(self, columns, np.arange(1, len(columns["n_rows"]) + 1), "group")

    def __repr__(self) -> str:
        found = self.effects
        tail = 50 * (1 - LEVEL)
        columns = {"effect": found.estimates}
        if found.method:
            columns |= {"std. error": found.standard_errors}
            columns |= {"z": found.z_values, "p": found.p_values}
            low, high = found.conf_int(LEVEL).T
            columns |= {f"{tail:g} %": low, f"{100 - tail:g} %": high}
        lines = [printable_name(found.terms[0].name)]
        lines += _table(columns, [printable_name(t.part) for t in found.terms], found.reasons)
        lines += [f"Standard errors: {found.method}."] if found.method else []
        if self.equality is not None:
            text = describe_test("Wald", self.equality, "That it is equal in all regimes is")
            lines += textwrap.wrap(text, WIDTH)
        share = format_percent(self.share_helped)
        lines.append(f"The effect is {self._helpful} in {share} of the rows.")
        if self.values is not None and self.calibration is not None:
            shares, *of_policies = self.values
            names = ["mean of y", "std. error", "difference", "diff. error"]
            columns = dict(zip(names, of_policies, strict=True))
            # The first has no difference from itself.
            columns |= {name: np.append(np.nan, columns[name][1:]) for name in names[2:]}
            treated = [f"{a} ({format_percent(b)})" for a, b in zip(POLICIES, shares, strict=True)]
            lines += ["", "Held-out rows by who is treated, and differences of the first mean"]
            lines += _table(columns, treated)
            n_rows, *of_groups = self.calibration
            names = ["predicted", "observed", "std. error"]
            groups = [f"group {i + 1} ({n:g} rows)" for i, n in enumerate(n_rows)]
            lines += ["", "Held-out rows: effects by the predicted effect"]
            lines += _table(dict(zip(names, of_groups, strict=True)), groups)
        return "\n".join(map(printable_line, lines))

    @property
    def _helpful(self) -> str:
        return "positive" if self.better == "higher" else "negative"

    def _draw(self, ax: Any) -> Any:
        found, given = self.effects, self.calibration
        names = [printable_name(term.part) for term in found.terms]
        height = max(LEAST_HEIGHT, 1.3 + EFFECT_HEIGHT * len(names))
        axes = self._axes(ax, 1 if given is None else 2, (PANEL_WIDTH, height))
        style = {"fmt": "o", "color": draw.DARK_GREY, "capsize": 3}
        widths = np.abs(found.conf_int(LEVEL).T - found.estimates)  # NaN without standard errors
        axes[0].errorbar(found.estimates, np.arange(len(names)), xerr=widths, **style)
        axes[0].axvline(0.0, **draw.REFERENCE)
        draw.name_rows(axes[0], draw.shortened(names, draw.HEADING_WIDTH))
        axes[0].set_xlabel(f"Effect of {draw.wrapped(found.terms[0].name, 40)}")
        if given is not None:
            width = ndtri(0.5 + 0.5 * LEVEL) * given.standard_error
            axes[1].errorbar(given.predicted, given.observed, yerr=width, **style)
            ends = [float(given.predicted.min()), float(given.predicted.max())]
            axes[1].plot(ends, ends, **draw.REFERENCE)
            axes[1].axhline(0.0, color=draw.LIGHT_GREY, linewidth=0.8)
            axes[1].locator_params(axis="x", nbins=5)
            axes[1].set(xlabel="Predicted effect", ylabel="Observed effect in held-out rows")
        return axes


def _table(columns: dict[str, Array], names: Sequence[str], remarks: Any = None) -> list[str]:
    """Lines of a table with a name for each row."""
    terms = [Term("", "", name) for name in names]
    remarks = [""] * len(terms) if remarks is None else remarks
    return table_lines(terms, columns, remarks, list(range(len(terms))))


def treatment_effects(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    treatment: Any,
    better: str = "higher",
    cv: Any = None,
    propensity: Any = None,
    inference: Any = None,
    sample_weight: Any = None,
    offset: Any = None,
    units: Any = None,
) -> TreatmentEffects:
    """Effects of a treatment in each regime and row, and the value of a choice by them.

    The treatment is a feature of the experts with two values. Its effect is the change of the mean
    of y, or of the probability of the second class, from the first value to the second, with all
    other features as they are. The gate must not use it, so that regimes are of people, and not of
    what was done to them. Differences of treated and untreated rows are effects if the treatment
    was randomised, or if the features contain all reasons for it. See "Does the treatment work in
    everyone?" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one. The treatment is a column of the
        input of a pipeline, whose steps may make interactions of it.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features of the rows of the fit.
    y : array-like of shape (n_samples,), default=None
        Target of these rows, for standard errors and `cv`.
    treatment : str or int
        Name or index of the column. The second of its values, in their order, is the treatment.
    better : {"higher", "lower"}, default="higher"
        Which values of y are better: the treatment helps where its effect is positive, or negative.
    cv : int, splitter or iterable, default=None
        Folds, each row in one test set, such as 5. The estimator is fitted again to the other rows,
        and the predicted effects are compared with y of the rows that it has not seen. A number
        keeps the rows of a unit in one fold. None for no comparison.
    propensity : float or array-like of shape (n_samples,), default=None
        With `cv`: probability of treatment of the rows, given their features. None for the share of
        treated rows, as in a randomised trial.
    inference : Inference, default=None
        Coefficients with their covariance, as in `average_effects`. None for those of the method
        `inference` of the mixture, from X and y; without y there are no standard errors.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, as in `fit`.
    offset : array-like of shape (n_samples,), default=None
        Offset of the linear predictors of the rows, as in `fit`.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`. Standard errors of held-out rows are those of whole units.

    Returns
    -------
    effects : TreatmentEffects
        To be printed, drawn by `plot`, or read by `to_frame` and its attributes.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts.
    ValueError
        If the gate uses the treatment, or the treatment does not have two values. Also if y is
        censored, has several outputs or more than two classes, or if an argument is invalid.

    See Also
    --------
    average_effects : Average effects of all features, also where the gate uses them.

    Notes
    -----
    Effects in experts are averaged over the rows with the probabilities of the gate as weights.
    Their standard errors are by the delta method, with the rows as they are.

    Held-out rows are weighted by the inverse of the probability of the treatment that they had. The
    mean of y under a rule of treatment is the weighted mean of the rows which were treated as the
    rule says [1]_. Standard errors are those of ratios of means. They take the probabilities as
    known, and sample weights as frequencies. The fifths are those of each fold.

    References
    ----------
    .. [1] M. Qian and S. A. Murphy (2011), "Performance guarantees for individualized treatment
       rules", Annals of Statistics 39, 1180-1210.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import treatment_effects
    >>> rng = np.random.default_rng(0)
    >>> X = np.column_stack([rng.normal(size=400), rng.integers(2, size=400)])
    >>> y = np.where(X[:, 0] > 0, X[:, 1], 3 - X[:, 1]) + 0.3 * rng.normal(size=400)
    >>> moe = MixtureOfExpertsRegressor(2, gate_features=[0], random_state=0).fit(X, y)
    >>> found = treatment_effects(moe, X, y, treatment=1, cv=3)
    >>> found.values.value.round(1)
    array([1.9, 1.5, 1.5])
    """
    check_choice("better", better, ("higher", "lower"))
    mixture = mixture_of(estimator)
    check_independent(mixture, "treatment_effects", "Use average_effects.")
    rows, change = _checked(estimator, mixture, Rows(X, y, sample_weight, offset, units), treatment)
    if y is None and (cv is not None or propensity is not None):
        raise ValueError("y must be given with cv and propensity, which compare it; got None.")
    if cv is None and propensity is not None:
        raise ValueError("propensity needs held-out rows, whose weights it gives. Pass cv=5.")
    chance = None if cv is None else _chance(propensity, rows, change)
    if inference is None and y is not None:
        inference = infer_if_possible(mixture, rows)
    weight, ends = subject.row_weights(rows), (change.low, change.high)
    shared = rows._replace(weight=weight / weight.sum())
    found = infer_average_effects(mixture, [(change.name, *ends, 1.0)], shared, False, inference)
    effects = _without_gate(found)
    sign = 1.0 if better == "higher" else -1.0
    of_rows = _row_effects(mixture, rows, *ends)
    result = TreatmentEffects(
        effects=effects,
        equality=_equality(effects),
        row_effects=of_rows,
        share_helped=float(np.average(sign * of_rows > 0.0, weights=weight)),
        better=better,
    )
    if chance is None:
        return result
    held_out, group = _held_out(estimator, rows, change, cv)
    target = subject.observed_target(mixture, y, int(is_classifier(mixture)))
    observed = _Observed(target, change.is_high, chance, rows)
    return replace(
        result,
        values=_values(observed, sign * held_out > 0.0),
        calibration=_calibration(observed, held_out, group),
        held_out_effects=held_out,
    )


class _Change(NamedTuple):
    """A treatment: its name, and the rows without and with it."""

    name: str
    low: Any
    high: Any
    is_high: Array  # whether rows have it


def _checked(estimator: Any, mixture: Any, given: Rows, treatment: Any) -> tuple[Rows, _Change]:
    """The rows, and their treatment, which the gate does not use."""
    if given.y is None:
        table = subject.check_table(mixture, given.X)
    else:
        if has_bounds(given.y):
            raise ValueError(
                "y must not be censored: means of times go beyond the last time that was observed. "
                "Use SurvivalDisplay for the curves of treated and untreated rows."
            )
        table = subject.check_rows("y", mixture, given.X, given.y)
    n_rows = table.shape[0]
    arrays = check_metadata({"offset": given.offset, "units": given.unit}, n_rows)
    weight = None if given.weight is None else check_weights(given.weight, n_rows)
    unit = arrays.get("units")
    rows = Rows(table, given.y, weight, arrays.get("offset"), unit, unit)
    n_values = mixture.predict_experts(index_rows(table, [0])).size // mixture.n_experts_
    if n_values > 1 + is_classifier(mixture):
        raise ValueError(
            f"y must be one output, or have two classes; the estimator predicts {n_values}. Use "
            "average_effects, or fit it to each output, or to one class against the others."
        )
    names = getattr(given.X, "columns", getattr(estimator, "feature_names_in_", None))
    labels = feature_labels(names, table.shape[1])
    if np.ndim(treatment):
        raise ValueError(
            f"treatment must be the name or index of one column; got {shown(treatment)}. Call "
            "treatment_effects for each column."
        )
    known = None if names is None else np.array(labels, dtype=object)
    chosen = check_columns("treatment", np.atleast_1d(treatment), len(labels), known)
    j = 0 if chosen is None else int(chosen[0])
    levels = subject.levels_of(table, j)
    if len(levels.values) != 2 or levels.counts.sum() < n_rows:
        found = levels.texts + ["missing values"] * bool(levels.counts.sum() < n_rows)
        raise ValueError(
            f"treatment must have two values, and none missing; {labels[j]!r} has {shown(found)}. "
            "Compare two at a time, by a fit to the rows that have one of them."
        )
    low, high = (subject.with_column_of(table, j, np.full(n_rows, row)) for row in levels.rows)
    if np.abs(mixture.predict_gate(high) - mixture.predict_gate(low)).max() > GATE_TOL:
        others = [i if names is None else labels[i] for i in range(len(labels)) if i != j]
        remedy = f"gate_features={shown(others)}"
        if mixture is not estimator:
            remedy = "gate_features without it, and without columns that the steps make of it"
        raise ValueError(
            f"gate_features must leave the treatment out; the gate uses {labels[j]!r}, so that "
            f"regimes are not the same with and without it. Fit the mixture with {remedy}."
        )
    values = subject.values_of(table, j)
    name = f"{labels[j]}: {' to '.join(levels.texts)}"
    return rows, _Change(name, low, high, values == values[levels.rows[1]])


def _chance(propensity: Any, rows: Rows, change: _Change) -> Array:
    """Probability of treatment of each row."""
    if propensity is None:
        return np.full(rows.n_rows, np.average(change.is_high, weights=subject.row_weights(rows)))
    chance = numbers("propensity", propensity, "Pass the probability of treatment of each row.")
    if chance.shape not in ((), (rows.n_rows,)) or not ((chance > 0.0) & (chance < 1.0)).all():
        raise ValueError(
            f"propensity must be in (0, 1), one number or one for each of the {rows.n_rows} rows; "
            f"got {shown(propensity)}. Leave rows out whose treatment was certain."
        )
    return np.broadcast_to(chance, rows.n_rows)


def _without_gate(found: AverageEffects) -> AverageEffects:
    """Effects on the mixture and in the experts; through the gate there are none."""
    kept = [i for i, term in enumerate(found.terms) if term.part != GATE]
    return replace(
        found,
        terms=[found.terms[i] for i in kept],
        estimates=found.estimates[kept],
        is_dispersion=found.is_dispersion[kept],
        is_dependent=found.is_dependent[kept],
        reasons=[found.reasons[i] for i in kept],
        full_covariance=found.full_covariance[np.ix_(kept, kept)],
        replicates=None if found.replicates is None else found.replicates[:, kept],
    )


def _equality(effects: AverageEffects) -> WaldTest | None:
    """The test that the effects in the experts are equal, of those that have standard errors."""
    of_experts = [
        term
        for term, reason in zip(effects.terms[1:], effects.reasons[1:], strict=True)
        if not reason
    ]
    if not effects.method or len(of_experts) < 2:
        return None
    return effects.wald_test(of_experts, equal=True)


def _row_effects(mixture: Any, rows: Rows, low: Any, high: Any) -> Array:
    """Difference (n,) of the predictions with and without the treatment."""
    index = int(is_classifier(mixture))
    without, treated = (
        subject.predicted_mean(mixture, table, index, offset=rows.offset) for table in (low, high)
    )
    return treated - without


# --- held-out rows --------------------------------------------------------------------------------


class _Observed(NamedTuple):
    """Outcomes of rows, and who was treated."""

    y: Array
    is_treated: Array
    chance: Array  # of the treatment
    rows: Rows

    def mean(self, treats: Any, among: Any = True) -> tuple[float, Array]:
        """Mean of y among some rows if others are treated, and the influence (n,) of each on it."""
        matches = among & (self.is_treated == treats)
        inverse = matches / np.where(self.is_treated, self.chance, 1.0 - self.chance)
        share = subject.row_weights(self.rows) * inverse
        with np.errstate(invalid="ignore"):  # NaN without rows
            share /= share.sum()
            value = float(share @ self.y)
        return value, share * (self.y - value)

    def error(self, influence: Array) -> float:
        """Standard error, by the sums over units; weights count rows."""
        if self.rows.unit is not None:
            return float(np.linalg.norm(np.bincount(self.rows.unit_codes, influence)))
        weight = subject.row_weights(self.rows)
        return float(np.linalg.norm(influence / np.sqrt(np.where(weight > 0.0, weight, 1.0))))


def _held_out(estimator: Any, rows: Rows, change: _Change, cv: Any) -> tuple[Array, Array]:
    """Effects (n,) by the fits to other folds, and the fifth of its fold that each row is in."""
    effects, group = np.zeros(rows.n_rows), np.zeros(rows.n_rows, dtype=int)
    for train, test in held_out_folds(cv, rows, "Use KFold, with shuffle=True."):
        if rows.unit is not None and np.isin(rows.unit[test], rows.unit[train]).any():
            raise ValueError(
                f"cv must keep the rows of a unit in one fold; got {shown(cv)}. Use a number, such "
                "as cv=5, or GroupKFold."
            )
        fitted = mixture_of(fitted_to(estimator, rows, train))
        ends = (index_rows(table, test) for table in (change.low, change.high))
        own = rows.take(test)
        effects[test] = _row_effects(fitted, own, *ends)
        group[test] = _groups(effects[test], subject.row_weights(own))
    return effects, group


def _groups(effects: Array, weight: Array) -> Array:
    """Groups (n,) of equal weight by their effects; rows of equal effects are in one."""
    scale = GATE_TOL * np.abs(effects).max() or 1.0  # of round-off
    distinct, codes = np.unique(np.round(effects / scale), return_inverse=True)
    weights = np.bincount(codes, weight, len(distinct))
    middle = (np.cumsum(weights) - 0.5 * weights) / max(weights.sum(), TINY)
    return (N_GROUPS * middle).astype(int)[codes]


def _values(observed: _Observed, helps: Array) -> PolicyValues:
    """Means of y if those are treated whom it helps, all, or nobody."""
    rules = [helps, np.ones_like(helps), np.zeros_like(helps)]
    means, influences = zip(*map(observed.mean, rules), strict=True)
    shares = [np.average(rule, weights=subject.row_weights(observed.rows)) for rule in rules]
    errors = [observed.error(each) for each in influences]
    differences = [observed.error(influences[0] - each) for each in influences]
    found = np.array([shares, means, errors, means[0] - np.array(means), differences])
    return PolicyValues(*found)


def _calibration(observed: _Observed, effects: Array, group: Array) -> EffectCalibration:
    """Predicted and observed effects in groups of the rows."""
    found, weight = [], subject.row_weights(observed.rows)
    for among in (group == label for label in np.unique(group[weight > 0.0])):
        (treated, own), (untreated, other) = (observed.mean(t, among) for t in (True, False))
        predicted = np.average(effects[among], weights=weight[among])
        error = observed.error(np.where(among, own - other, 0.0))
        found.append([among.sum(), predicted, treated - untreated, error])
    return EffectCalibration(*np.array(found).T)
