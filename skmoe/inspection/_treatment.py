"""Effects of a treatment: in each regime, in each row, and what they are worth in other rows."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri
from sklearn.base import is_classifier
from sklearn.utils import Bunch

from skmoe._data.censored_targets import times_and_events
from skmoe._data.checks import (
    check_choice,
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
from skmoe._inference.effects import AT_TIME, AverageEffects
from skmoe._inference.inference import WIDTH, Term, WaldTest, describe_test, table_lines
from skmoe._inference.labels import format_percent, printable_name
from skmoe._numerics.event_times import EventTable
from skmoe._numerics.typing import TINY, Array
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject
from skmoe.inspection._feature_effects import checked_time

# Groups of equal size of the rows in a fold, by their predicted effects.
N_GROUPS = 5

# The test of equal effects depends on their scale.
NOTE_ON_RATIOS = (
    "Effects are differences. Where levels differ, equal ratios are unequal differences. Compare "
    "ratios by likelihood_ratio_test, with the treatment in shared_features of the smaller model."
)

# Differences of probabilities of the experts up to this size are round-off.
GATE_TOL = 1e-9

# Confidence of the intervals of texts and pictures.
INTERVAL_LEVEL = 0.95

# Width of a panel, and heights of an effect, of the frame, and least, in inches.
PANEL_WIDTH, EFFECT_HEIGHT, FRAME_HEIGHT, LEAST_HEIGHT = 4.5, 0.5, 1.3, 3.2


@dataclass(kw_only=True, eq=False, repr=False)
class TreatmentEffects(AverageEffects, draw.Display):
    """Effects of a treatment in each regime and row, and what a choice by them is worth.

    Returned by `skmoe.inspection.treatment_effects`; it is not constructed by hand. See "Does the
    treatment work in everyone?" in the user guide.

    Attributes
    ----------
    terms : list of (part, response, name)
        The part is the treatment, and the name "mixture" or that of an expert.
    estimates : ndarray of shape (n_terms,)
        Average effects: first that of the mixture, then those of the experts.
    covariance : ndarray of shape (n_terms, n_terms)
        Their covariance; NaN without standard errors.
    reasons : list of str of length n_terms
        Why an effect has no standard error; empty if it has one.
    method : str
        Method of the covariance; empty without one.
    equality : object or None
        Wald's test that the effects of all experts are equal, with `statistic`, `df` and `p_value`;
        None with one expert, and without standard errors.
    row_effects : ndarray of shape (n_samples,)
        Effect in each row: the effects of the experts there, averaged with its probabilities.
    share_helped : float
        Share of the rows in which the effect is an improvement, by their weights.
    better : str
        Whether "higher" or "lower" values of y are better.
    policies : Bunch or None
        With `cv`: of the policies to treat where it helps, to treat all, and to treat nobody
        (`treated`), the share of treated rows (`share`), and the mean of y in held-out rows
        (`mean`, `mean_error`). `difference` and `difference_error` are those of the first mean from
        each.
    calibration : Bunch or None
        With `cv`: of each fifth (`fifth`) of the held-out rows by their predicted effects, the
        share of the rows (`share`), the mean effect (`predicted`), and the difference of the means
        of treated and untreated rows (`observed`, `observed_error`). Rows of equal effects are in
        one.
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
    >>> found.terms[0]
    Term(part='x1: 0 to 1', response='', name='mixture')
    >>> found.equality.df
    1
    """

    row_effects: Array
    share_helped: float
    better: str
    policies: Bunch | None = None
    calibration: Bunch | None = None
    held_out_effects: Array | None = None

    @property
    def equality(self) -> WaldTest | None:
        """The test that the effects are equal in all experts whose effects have errors."""
        marked = zip(self.terms[1:], self.reasons[1:], strict=True)
        own = [term for term, reason in marked if not reason]
        return self.wald_test(own, equal=True) if self.method and len(own) > 1 else None

    def __repr__(self) -> str:
        lines, test = [printable_name(self.terms[0].part)], self.equality
        lines += self._tables(list(range(len(self.terms))), INTERVAL_LEVEL)
        lines += [f"Standard errors: {self.method}."] if self.method else []
        if test is not None:
            text = describe_test("Wald", test, "That the effect is equal in all regimes is")
            lines += textwrap.wrap(text, WIDTH)
        lines += textwrap.wrap(self.note, WIDTH)
        sign = "positive" if self.better == "higher" else "negative"
        lines.append(f"The effect is {sign} in {format_percent(self.share_helped)} of the rows.")
        tables = self.policies, self.calibration
        titles = "Held-out rows, by who is treated", "Held-out rows, by the predicted effect"
        for title, table in zip(titles, tables, strict=True):
            if table is not None:
                names, *columns = table
                terms = [Term("", "", str(name)) for name in table[names]]
                own, n = {name: table[name] for name in columns}, len(terms)
                lines += ["", title, *table_lines(terms, own, [""] * n, list(range(n)))]
        return "\n".join(lines)

    def _draw(self, ax: Any) -> Any:
        names, given = [printable_name(term.name) for term in self.terms], self.calibration
        size = PANEL_WIDTH, max(LEAST_HEIGHT, FRAME_HEIGHT + EFFECT_HEIGHT * len(names))
        axes = self._axes(ax, 1 if given is None else 2, size)
        style = {"fmt": "o", "color": draw.DARK_GREY, "capsize": 3}
        # NaN without standard errors.
        widths = np.abs(self.conf_int(INTERVAL_LEVEL).T - self.estimates)
        axes[0].errorbar(self.estimates, np.arange(len(names)), xerr=widths, **style)
        axes[0].axvline(0.0, **draw.REFERENCE)
        draw.name_rows(axes[0], draw.shortened(names, draw.HEADING_WIDTH))
        draw.label_feature(axes[0], f"Effect of {printable_name(self.terms[0].part)}", None, "")
        if given is not None:
            width = ndtri(0.5 + 0.5 * INTERVAL_LEVEL) * given.observed_error
            axes[1].errorbar(given.predicted, given.observed, yerr=width, **style)
            axes[1].axline((0.0, 0.0), slope=1.0, **draw.REFERENCE)
            axes[1].locator_params(axis="x", nbins=5)
            axes[1].set(xlabel="Predicted effect", ylabel="Observed effect in held-out rows")
        return axes


def treatment_effects(
    estimator: Any,
    X: Any,
    y: Any = None,
    *,
    treatment: Any,
    what: str = "prediction",
    time: float | None = None,
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
    what : {"prediction", "restricted_mean", "survival"}, default="prediction"
        Effects on the mean of y, or on the probability of the second class; on the mean time
        without an event until `time`; or on the probability of no event until then.
    time : float, default=None
        That time, in the unit of y. Censored y needs one, not later than its last time.
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
        If the gate uses the treatment, or the treatment does not have two values. Also if y has
        several outputs or more than two classes, is censored without a time, or if an argument is
        invalid.

    See Also
    --------
    average_effects : Average effects of all features, also where the gate uses them.

    Notes
    -----
    Effects in experts are averaged over the rows with the probabilities of the gate as weights.
    Their standard errors are by the delta method, with the rows as they are.

    Held-out rows are weighted by the inverse of the probability of the treatment that they had, and
    with `time` also of an observation for as long [2]_. Its end must not depend on features. The
    mean of y under a rule of treatment is the weighted mean of the rows that were treated as the
    rule requires [1]_. Standard errors are those of ratios of means. They take the probabilities as
    known, and sample weights as frequencies. The fifths are those of each fold.

    References
    ----------
    .. [1] M. Qian and S. A. Murphy (2011), "Performance guarantees for individualized treatment
       rules", Annals of Statistics 39, 1180-1210.
    .. [2] H. Uno, T. Cai, L. Tian and L. J. Wei (2007), "Evaluating prediction rules for t-year
       survivors with censored regression models", Journal of the American Statistical Association
       102, 527-537.

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
    >>> found.policies.mean.round(1)
    array([2. , 1.5, 1.6])
    """
    sign = {"higher": 1.0, "lower": -1.0}[check_choice("better", better, ("higher", "lower"))]
    mixture = mixture_of(estimator)
    if subject.has_series(mixture):
        raise ValueError(
            "treatment_effects needs rows or units that keep their expert; those of "
            'gate="markov" change it in time. Use average_effects.'
        )
    check_choice("what", what, ("prediction", *AT_TIME))
    at_time = checked_time(mixture, what, time)
    if has_bounds(y) and at_time is None:
        raise ValueError(
            "y must not be censored without a time, since means go beyond the last time that was "
            'observed. Pass what="restricted_mean", and time= within the observation.'
        )
    rows, change = _checked(estimator, mixture, Rows(X, y, sample_weight, offset, units), treatment)
    chance = _chance(propensity, rows, change, cv)
    if inference is None and y is not None:
        inference = infer_if_possible(mixture, rows)
    weight, ends = subject.row_weights(rows), (change.low, change.high)
    shared = rows._replace(weight=weight / weight.sum())
    changes = [(change.name, *ends, 1.0)]
    found = infer_average_effects(mixture, changes, shared, False, inference, at_time)
    is_plain = at_time is None and getattr(mixture, "link_", "identity") == "identity"
    if mixture.n_experts_ > 1 and not is_plain:
        found = replace(found, note=f"{found.note} {NOTE_ON_RATIOS}".lstrip())
    effects = _row_effects(mixture, rows, ends, at_time)
    result = TreatmentEffects(
        **_without_gate(found),
        row_effects=effects,
        share_helped=float(np.average(sign * effects > 0.0, weights=weight)),
        better=better,
    )
    if cv is not None:
        observed = _observed(mixture, rows, at_time, change.is_high, chance)
        result.held_out_effects, group = _held_out(estimator, rows, change, cv, at_time)
        result.policies = _policies(observed, sign * result.held_out_effects > 0.0)
        result.calibration = _calibration(observed, result.held_out_effects, group)
    return result


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
    if np.ndim(treatment):
        raise ValueError(
            f"treatment must be the name or index of one column; got {shown(treatment)}. Call "
            "treatment_effects for each column."
        )
    named = np.atleast_1d(treatment)
    labels, (j, *_) = subject.check_input_columns("treatment", named, estimator, given.X)
    levels = subject.levels_of(table, j)
    if len(levels.values) != 2 or levels.counts.sum() < n_rows:
        found = levels.texts + ["missing values"] * bool(levels.counts.sum() < n_rows)
        raise ValueError(
            f"treatment must have two values, and none missing; {labels[j]!r} has {shown(found)}. "
            "Compare two at a time, by a fit to the rows that have one of them."
        )
    low, high = (subject.with_column_of(table, j, np.full(n_rows, row)) for row in levels.rows)
    if np.abs(mixture.predict_gate(high) - mixture.predict_gate(low)).max() > GATE_TOL:
        has_names = hasattr(mixture, "feature_names_in_")
        others = [name if has_names else i for i, name in enumerate(labels) if i != j]
        remedy = f"with gate_features={shown(others)}"
        if mixture is not estimator:
            remedy = "with gate_features without it, and without columns that the steps make of it"
        if getattr(mixture, "base_", None) is not None:
            remedy = "without base, whose predictions the gate uses as well"
        raise ValueError(
            f"gate_features must leave the treatment out; the gate uses {labels[j]!r}, so that "
            f"regimes are not the same with and without it. Fit the mixture {remedy}."
        )
    values = subject.values_of(table, j)
    name = f"{labels[j]}: {' to '.join(levels.texts)}"
    return rows, _Change(name, low, high, values == values[levels.rows[1]])


def _chance(propensity: Any, rows: Rows, change: _Change, cv: Any) -> Array:
    """Probability of treatment of each row."""
    if rows.y is None and cv is not None:
        raise ValueError("y must be given with cv, which compares it; got None.")
    if propensity is None:
        share = np.average(change.is_high, weights=subject.row_weights(rows))
        return np.full(rows.n_rows, share)
    if cv is None:
        raise ValueError("propensity needs held-out rows, whose weights it gives. Pass cv=5.")
    chance = numbers("propensity", propensity, "Pass the probability of treatment of each row.")
    if chance.shape not in ((), (rows.n_rows,)) or not ((chance > 0.0) & (chance < 1.0)).all():
        raise ValueError(
            f"propensity must be in (0, 1), one number or one for each of the {rows.n_rows} rows; "
            f"got {shown(propensity)}. Leave rows out whose treatment was certain."
        )
    return np.broadcast_to(chance, rows.n_rows)


def _without_gate(found: AverageEffects) -> dict[str, Any]:
    """Fields of the effects without the last one, that through the gate; of one expert all."""
    own = dict(vars(found))
    n = sum(term.part != GATE for term in found.terms)
    own["terms"] = [Term(name, response, part) for part, response, name in found.terms[:n]]
    for name in ("estimates", "is_dispersion", "is_dependent", "reasons"):
        own[name] = own[name][:n]
    own["full_covariance"] = found.full_covariance[:n, :n]
    own["replicates"] = None if found.replicates is None else found.replicates[:, :n]
    return own


def _row_effects(
    mixture: Any, rows: Rows, ends: Sequence[Any], at_time: tuple[str, float] | None
) -> Array:
    """Difference (n,) of the predictions with and without the treatment."""
    index, found = int(is_classifier(mixture)), []
    for table in ends:
        if at_time is None:
            found.append(subject.predicted_mean(mixture, table, index, offset=rows.offset))
        else:
            dist, (name, time) = mixture.predict_dist(table, offset=rows.offset), at_time
            found.append(np.ravel(dist.sf(time) if name == "sf" else dist.restricted_mean(time)))
    return found[1] - found[0]


# --- held-out rows --------------------------------------------------------------------------------


class _Observed(NamedTuple):
    """Outcomes of rows, and who was treated."""

    y: Array
    is_treated: Array
    chance: Array  # of the treatment
    rows: Rows
    seen: Array  # inverse of the probability that y is known, and zero where it is not
    copies: Array  # number of rows, or of units, that each one stands for

    def mean(self, treats: Any, among: Any = True) -> tuple[float, Array]:
        """Mean of y among some rows under a rule of treatment, and what each row adds, (n,)."""
        matches = among & (self.is_treated == treats)
        inverse = self.seen * matches / np.where(self.is_treated, self.chance, 1.0 - self.chance)
        share = subject.row_weights(self.rows) * inverse
        with np.errstate(invalid="ignore"):  # NaN without rows
            share /= share.sum()
            value = float(share @ self.y)
        return value, share * (self.y - value)

    def error(self, influence: Array) -> float:
        """Standard error, by the sums over units."""
        own = np.bincount(self.rows.unit_codes, influence / np.sqrt(self.copies))
        return float(np.linalg.norm(own))


def _observed(
    mixture: Any, rows: Rows, at_time: tuple[str, float] | None, is_treated: Array, chance: Array
) -> _Observed:
    """Outcomes of rows, or what is known of them at a time."""
    weight = subject.row_weights(rows)
    # Weights count units with random effects, and otherwise rows, also those of a unit.
    is_counted = rows.unit is None or hasattr(mixture, "random_covariance_")
    copies = np.where(is_counted & (weight > 0.0), weight, 1.0)
    if at_time is None:
        y = subject.observed_target(mixture, rows.y, int(is_classifier(mixture)))
        seen = ~np.isnan(y)  # some visits of a unit may be missing
        y = np.where(seen, y, 0.0)
        return _Observed(y, is_treated, chance, rows, seen.astype(float), copies)
    name, time = at_time
    end, event = times_and_events("treatment_effects with cv", rows.y)
    table, until = EventTable.of(end, event, weight), np.minimum(end, time)
    y, is_later, share = until, end >= time, table.observed_share(until, before=True)
    if name == "sf":
        is_later = end > time
        y, share = is_later.astype(float), np.where(is_later, table.observed_share(time), share)
    return _Observed(y, is_treated, chance, rows, (event | is_later) / share, copies)


def _held_out(
    estimator: Any, rows: Rows, change: _Change, cv: Any, at_time: Any
) -> tuple[Array, Array]:
    """Effects (n,) by the fits to other folds, and the fifth of its fold that each row is in."""
    effects, group = np.zeros(rows.n_rows), np.zeros(rows.n_rows, dtype=int)
    for train, test in held_out_folds(cv, rows, "Use KFold, with shuffle=True."):
        if rows.unit is not None and np.isin(rows.unit[test], rows.unit[train]).any():
            raise ValueError(
                f"cv must keep the rows of a unit in one fold; got {shown(cv)}. Use a number, such "
                "as cv=5, or GroupKFold."
            )
        fitted = mixture_of(fitted_to(estimator, rows, train))
        ends = [index_rows(table, test) for table in (change.low, change.high)]
        own = rows.take(test)
        effects[test] = _row_effects(fitted, own, ends, at_time)
        group[test] = _groups(effects[test], subject.row_weights(own))
    return effects, group


def _groups(effects: Array, weight: Array) -> Array:
    """Groups (n,) of equal weight by their effects; rows of equal effects are in one."""
    scale = GATE_TOL * np.abs(effects).max() or 1.0  # of round-off
    distinct, codes = np.unique(np.round(effects / scale), return_inverse=True)
    weights = np.bincount(codes, weight, len(distinct))
    middle = (np.cumsum(weights) - 0.5 * weights) / max(weights.sum(), TINY)
    return (N_GROUPS * middle).astype(int)[codes]


def _policies(observed: _Observed, helps: Array) -> Bunch:
    """Means of y if those are treated whom it helps, all, or nobody."""
    rules = [helps, np.ones_like(helps), np.zeros_like(helps)]
    means, influences = zip(*map(observed.mean, rules), strict=True)
    weight = subject.row_weights(observed.rows)
    difference_error = [observed.error(influences[0] - each) for each in influences[1:]]
    return Bunch(
        treated=["where it helps", "all", "nobody"],
        share=np.array([np.average(rule, weights=weight) for rule in rules]),
        mean=np.array(means),
        mean_error=np.array([observed.error(each) for each in influences]),
        difference=np.array([np.nan, *(means[0] - np.array(means[1:]))]),
        difference_error=np.array([np.nan, *difference_error]),
    )


def _calibration(observed: _Observed, effects: Array, group: Array) -> Bunch:
    """Predicted and observed effects in groups of the rows."""
    found, weight = [], subject.row_weights(observed.rows)
    labels = np.unique(group[weight > 0.0])
    for among in labels[:, None] == group:
        (treated, own), (untreated, other) = (observed.mean(t, among) for t in (True, False))
        predicted = np.average(effects[among], weights=weight[among])
        share = weight[among].sum() / weight.sum()
        found.append([share, predicted, treated - untreated, observed.error(own - other)])
    names = "share", "predicted", "observed", "observed_error"
    return Bunch(fifth=labels + 1, **dict(zip(names, np.array(found).T, strict=True)))
