"""What features do for the predictions: average effects, and permutation importance by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from sklearn.utils import Bunch

from skmoe._data.censored_targets import check_no_entry
from skmoe._data.checks import check_choice, check_integer, check_real, check_weights
from skmoe._data.rows import Rows, index_rows
from skmoe._data.series import misses_y
from skmoe._estimators.methods.inference import infer_average_effects, predicts_steps
from skmoe._estimators.methods.input_steps import mixture_of
from skmoe._estimators.methods.series import one_step_densities, parts_of_density
from skmoe._inference.effects import AT_TIME, AverageEffects, checked_times
from skmoe._inference.labels import counted_noun
from skmoe._numerics.typing import Array
from skmoe.distributions._mixtures import check_random_state
from skmoe.inspection import _style as draw
from skmoe.inspection import _subject as subject

# Parts in which a feature is permuted.
PARTS = ("gate", "experts", "both")

# How the bars of each part are filled: as in the waterfall of a prediction, the gate is hatched.
PART_STYLES: dict[str, dict[str, Any]] = {
    "both": {"facecolor": draw.DARK_GREY, "label": "both"},
    "experts": {"facecolor": draw.LIGHT_GREY, "label": "in the experts only"},
    "gate": {"facecolor": "white", "hatch": "////", "label": "in the gate only"},
}

# Height of a bar, of which there are three, as a fraction of a row.
PART_HEIGHT = 0.27

# Width of the picture without names, height of a row, and of the frame, in inches.
IMPORTANCE_WIDTH, IMPORTANCE_ROW_HEIGHT, IMPORTANCE_FRAME = 4.4, 0.5, 1.3

# Characters of the name of a feature.
IMPORTANCE_NAME_WIDTH = 30

# Width of the change of a numeric feature, in standard deviations: of a derivative, and of
# predictions that may be steps.
DERIVATIVE_STEP, STEP_OF_ESTIMATORS = 1e-4, 1.0

# The smallest change that is not lost in round-off.
MIN_STEP = 1e-6


@dataclass(kw_only=True, eq=False, repr=False)
class ImportanceDisplay(draw.DisplayOfFeatures):
    """Permutation importance of the features: what each does for the gate and for the experts.

    Bars are decreases of the mean log density of y when a feature is permuted: in the whole
    mixture, in the input of the experts only, and in that of the gate only. Error bars are standard
    deviations over the permutations. See `permutation_importance_by_part`, "Displays" in the user
    guide, and "What do pictures of a fit show?" in the gallery.

    Parameters
    ----------
    feature_names : list of str of length n_shown
        Names of the features, from top to bottom.
    n_columns : int, default=None
        Number of features of which the most important are drawn; None if all are.
    feature_note : str, default=""
        What the features are, if they are not those of the input of a pipeline.
    both, experts, gate : ndarray of shape (n_shown, n_repeats)
        Importances, in nats per row, or unit.
    of_units : bool, default=False
        Whether the importances are in nats per unit.

    Attributes
    ----------
    ax_ : matplotlib axes
        Axes of the plot.
    figure_ : matplotlib figure
        Figure of the plot.
    bars_ : dict of str to matplotlib bars
        The bars of "both", "experts" and "gate".

    See Also
    --------
    CoefficientsDisplay : Coefficients of experts with linear predictors.
    PredictionDisplay : Contributions of the features to one prediction.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import ImportanceDisplay
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> y = np.where(X[:, 0] > 0, 1.0, -1.0) * X[:, 1]
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X[:200], y[:200])
    >>> display = ImportanceDisplay.from_estimator(moe, X[200:], y[200:], random_state=0)
    >>> display.experts.shape
    (2, 5)
    """

    both: Array
    experts: Array
    gate: Array
    of_units: bool = False

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        max_features: int = 12,
        n_repeats: int = 5,
        random_state: Any = None,
        sample_weight: Any = None,
        offset: Any = None,
        units: Any = None,
        time: Any = None,
        ax: Any = None,
    ) -> Self:
        """Draw the importances of the features of a fitted mixture.

        Parameters
        ----------
        estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
            Fitted mixture, or a pipeline or search that ends in one.
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of rows that were not used in the fit.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        max_features : int, default=12
            Largest number of features that are drawn, the most important ones.
        n_repeats : int, default=5
            Permutations of each feature, typically 5 to 30: more are slower, and more precise.
        random_state : int, RandomState instance or None, default=None
            Source of randomness of the permutations.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows in the mean.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors of the rows, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`, whose log densities are drawn; None for rows.
        time : array-like of shape (n_samples,), default=None
            Order of the rows of a series, as in `fit` with `gate="markov"`.
        ax : matplotlib axes, default=None
            Axes to draw on; None for new ones.

        Returns
        -------
        display : ImportanceDisplay
            The display.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError
            If the estimator does not end in a mixture of experts.
        ValueError
            If a number is not a positive integer, or the experts have no predictive distribution.
        """
        estimator, X, note, labels, _ = subject.drawn_mixture(cls, estimator, X)
        check_integer("max_features", max_features, least=1)
        given = Rows(X, y, sample_weight, offset, units, time=time).arguments
        given |= {"n_repeats": n_repeats, "random_state": random_state}
        found = permutation_importance_by_part(estimator, X, y, **given)
        order = np.argsort(-found.both.importances_mean, kind="stable")[:max_features]
        return cls(
            feature_names=[labels[j] for j in order],
            **{part: found[part].importances[order] for part in PARTS},
            n_columns=len(labels),
            feature_note=note,
            of_units=units is not None and not subject.has_series(estimator),
        ).plot(ax)

    def _draw(self, ax: Any) -> Any:
        names = draw.shortened(self.feature_names, IMPORTANCE_NAME_WIDTH)
        height = IMPORTANCE_FRAME + IMPORTANCE_ROW_HEIGHT * len(names)
        (ax,) = self._axes(ax, 1, (IMPORTANCE_WIDTH + draw.text_width(names), height))
        self.bars_: dict[str, Any] = {}
        error = {"ecolor": draw.DARK_GREY, "elinewidth": 1.0, "capsize": 2}
        own = {"edgecolor": draw.DARK_GREY, "linewidth": 0.8, "error_kw": error}
        for i, (part, style) in enumerate(PART_STYLES.items()):
            values = vars(self)[part]
            at = np.arange(len(names)) + (i - 1) * PART_HEIGHT, values.mean(axis=1), PART_HEIGHT
            self.bars_[part] = ax.barh(*at, xerr=values.std(axis=1), **style, **own)
        ax.axvline(0.0, color=draw.DARK_GREY, linewidth=0.8)
        draw.name_rows(ax, names)
        label = f"Decrease of the log density per {counted_noun(self.of_units)}, permuted"
        ax.set_xlabel("\n".join([label, *self._notes("the most important ones")]))
        draw.legend_above(ax, list(self.bars_.values()), ncols=len(PARTS), fontsize=8)
        return ax


def permutation_importance_by_part(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    features: Any = None,
    n_repeats: int = 5,
    random_state: Any = None,
    sample_weight: Any = None,
    offset: Any = None,
    units: Any = None,
    time: Any = None,
) -> Bunch:
    """Permutation importance of each feature for the gate, for the experts, and for both.

    The importance is the decrease of the mean log density (of classes, log probability) of the
    observed y when the values of the feature are permuted over the rows [1]_. They are permuted in
    the input of the gate only, in that of the experts only, and in both. The two parts need not add
    up to the whole. Features that depend on each other share their effects: a permutation makes
    rows that may not exist. See "Displays" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one. Where the steps before it are more
        than scalers, the features are those of the transformed table.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features of rows that were not used in the fit.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Observed target.
    features : array-like, default=None
        Features to permute: names, indices or a boolean mask; None for all.
    n_repeats : int, default=5
        Permutations of each feature, typically 5 to 30: more are slower, and more precise.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the permutations.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the mean.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors of the rows, as in `fit`; None for 0.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`: the importance is the decrease of the mean log density of
        all rows of a unit, in which weights are powers of densities. Features that are constant
        within units are permuted over the units, and others over the rows. None for rows. With
        `gate="markov"` they are series, and the log density of each row is given the rows before.
    time : array-like of shape (n_samples,), default=None
        Order of the rows of a series, as in `fit` with `gate="markov"`.

    Returns
    -------
    importance : Bunch
        With two keys for all parts, and one for each part.

        score : float
            Mean log density of the rows, or units.
        features : ndarray of shape (n_chosen,)
            Indices of the features.
        gate, experts, both : Bunch
            With `importances` of shape (n_chosen, n_repeats), `importances_mean` and
            `importances_std` of shape (n_chosen,), in nats per row, or unit, as those of
            `sklearn.inspection.permutation_importance`.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts.
    ValueError
        If a feature is unknown, `n_repeats` is not a positive integer, y has another length, a
        missing value or an unknown class, or the experts have no predictive distribution.

    See Also
    --------
    ImportanceDisplay : The importances as bars.

    References
    ----------
    .. [1] L. Breiman (2001), "Random forests", Machine Learning 45, 5-32.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import permutation_importance_by_part
    >>> X = np.random.default_rng(0).normal(size=(400, 2))
    >>> y = np.where(X[:, 0] > 0, 1.0, -1.0) * X[:, 1]
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X[:200], y[:200])
    >>> found = permutation_importance_by_part(moe, X[200:], y[200:], random_state=0)
    >>> int(found.gate.importances_mean.argmax()), int(found.experts.importances_mean.argmax())
    (0, 1)
    >>> [found[part].importances_mean.shape for part in ("gate", "experts", "both")]
    [(2,), (2,), (2,)]
    """
    estimator, X, _ = subject.find_mixture(estimator, X)
    n_repeats = check_integer("n_repeats", n_repeats, least=1)
    chosen = subject.check_features("features", features, estimator)
    table = subject.check_table(estimator, X)
    rows = subject.positive_rows(Rows(table, y, sample_weight, offset, units, time=time))
    scores_of, generator = _scores(estimator, rows), check_random_state(random_state)
    score = float(scores_of(rows.X)[0])
    importances = np.zeros((len(PARTS), len(chosen), n_repeats))
    for i, j in enumerate(chosen):
        for repeat in range(n_repeats):
            order = _permutation(rows, j, generator)
            permuted = subject.with_column_of(rows.X, j, order)
            importances[:, i, repeat] = score - scores_of(permuted)
    parts = {
        name: Bunch(importances=v, importances_mean=v.mean(axis=1), importances_std=v.std(axis=1))
        for name, v in zip(PARTS, importances, strict=True)
    }
    return Bunch(score=score, features=np.array(chosen, dtype=int), **parts)


def _scores(estimator: Any, rows: Rows) -> Callable[[Any], Array]:
    """Mean log density by another table: of the gate only, of the experts only, and of both.

    Those of series are given earlier rows; rows whose y is missing do not count.
    """
    weight = None if rows.unit is not None else subject.row_weights(rows)
    if subject.has_series(estimator):
        check_no_entry('gate="markov"', rows.y)
        weight = subject.row_weights(rows) * ~misses_y(rows.y)

        def densities(table: Any) -> list[Array]:
            pairs = (rows.X, table), (table, rows.X), (table, table)
            return [one_step_densities(estimator, rows._replace(X=own), at) for own, at in pairs]
    else:
        gate, *given = parts_of_density(estimator, rows)

        def densities(table: Any) -> list[Array]:
            other, *own = parts_of_density(estimator, rows._replace(X=table))
            pairs = (other, given), (gate, own), (other, own)
            logs = [np.logaddexp.reduce(first + second, axis=1) for first, second in pairs]
            return [density - after_entry for density, after_entry in logs]

    return lambda table: np.array([np.average(v, weights=weight) for v in densities(table)])


def _permutation(rows: Rows, j: int, generator: Any) -> Array:
    """Units in random order; rows, if a column varies within units."""
    first, codes = np.unique(rows.unit_codes, return_index=True)[1], rows.unit_codes
    column = subject.values_of(rows.X, j).astype(str)  # missing values are equal
    if (column == column[first[codes]]).all():
        return first[generator.permutation(len(first))][codes]
    return generator.permutation(len(codes))


def average_effects(
    estimator: Any,
    X: Any,
    *,
    sample_weight: Any = None,
    inference: Any = None,
    features: Any = None,
    what: str = "prediction",
    time: float | None = None,
    step: float | None = None,
    offset: Any = None,
) -> AverageEffects:
    """Average effect of each feature on the predictions, with standard errors.

    For a numeric feature it is the derivative of the prediction, averaged over the rows (average
    marginal effect). For a feature of two values, or of categories, it is the average change from
    the first value to each of the others, with all other features as they are [1]_. See "Average
    effects" in the user guide.

    The effect of the mixture is the sum of two parts, of which both are listed. Through the
    experts: the effects of the experts, each averaged over the rows with its probabilities as
    weights, times its mean probability. Through the gate: what the change of the probabilities
    contributes, at the predictions of the experts. With `gate="markov"` the probabilities are those
    of the long run: the shares of time in each regime, if the features stay as they are.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        Fitted mixture, or a pipeline or search that ends in one. The features are those of the
        input of a pipeline, also where its steps make splines or indicators of them.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Rows over which the effects are averaged, such as those of the fit.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows in the averages.
    inference : Inference, default=None
        Coefficients with their covariance, as the method `inference` of the mixture returns them.
        Standard errors are by the delta method, with the rows of X as they are. With the bootstrap
        they are those of the effects of its refits. None for no standard errors.
    features : array-like, default=None
        Features that change: names, indices or a boolean mask; None for all.
    what : {"prediction", "gate", "restricted_mean", "survival"}, default="prediction"
        Effects on the mean of y, or on the probabilities of the classes (of the second of two), or
        on the probabilities of the experts. Means of right-censored times are extrapolated beyond
        the last time of the fit, which the text reports. Effects on the restricted mean, the mean
        time without an event until `time` [2]_, and on the probability of no event until then are
        not.
    time : float, default=None
        That time, in the unit of y, such as the time until which most rows were observed. Of
        censored y at most `last_time_`.
    step : float, default=None
        Width of the change of numeric features about their values, in standard deviations. Where it
        would go beyond the smallest or largest value in X, it ends there. None for a derivative; or
        for 1 if estimators are in the experts, base or gate, whose predictions may be steps.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors of the rows, as in `fit`; None for 0.

    Returns
    -------
    effects : AverageEffects
        To be printed, or read by `to_frame`, `estimates`, `standard_errors` and `conf_int`.

    Raises
    ------
    TypeError
        If the estimator does not end in a mixture of experts.
    ValueError
        If a parameter is invalid, a feature does not vary, or the inference is that of another
        mixture. Also if the mean is infinite, since an expert never has the event.

    See Also
    --------
    skmoe.MixtureOfExpertsRegressor.explain : Derivatives of the prediction of each row.
    ImportanceDisplay : What each feature does for the log density of y.

    References
    ----------
    .. [1] T. S. Breen, K. B. Karlson and A. Holm (2018), "Interpreting and understanding logits,
       probits, and other nonlinear probability models", Annual Review of Sociology 44, 39-54.
    .. [2] P. Royston and M. K. B. Parmar (2013), "Restricted mean survival time: an alternative to
       the hazard ratio for the design and analysis of randomized trials with a time-to-event
       outcome", BMC Medical Research Methodology 13, 152.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.inspection import average_effects
    >>> X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    >>> moe = MixtureOfExpertsRegressor(n_experts=1).fit(X, y)
    >>> average_effects(moe, X, inference=moe.inference(X, y), features=["sex", "bmi"])
    mixture
                               effect std. error          z          p      2.5 %     97.5 %
      sex: 1 to 2              -21.93      5.785      -3.79     0.0002     -33.26     -10.59
      bmi                       5.575     0.7073       7.88    <0.0001      4.189      6.962
    Standard errors: delta method, observed information.
    """
    check_choice("what", what, ("prediction", "gate", *AT_TIME))
    mixture = mixture_of(estimator)
    at_time = checked_time(mixture, what, time)
    if step is None:
        step = STEP_OF_ESTIMATORS if predicts_steps(mixture) else DERIVATIVE_STEP
    step = check_real("step", step, least=MIN_STEP)
    rows = Rows(subject.check_table(mixture, X), None, None, offset)
    if what == "prediction":
        try:
            first = index_rows(rows.X, [0])
            mixture.predict(first, **subject.given_features(mixture, first))
        except ValueError as error:  # of an infinite mean
            remedy = 'Or pass what="gate", for effects on the probabilities of the experts.'
            raise ValueError(f"{error} {remedy}") from error
    rows = rows._replace(weight=check_weights(sample_weight, rows.n_rows)).of_positive_weight()
    rows = rows._replace(weight=rows.weight / rows.weight.sum())
    labels, chosen = subject.check_input_columns("features", features, estimator, X)
    changes = _changes(rows, [(j, labels[j]) for j in chosen], step)
    return infer_average_effects(mixture, changes, rows, what == "gate", inference, at_time)


def checked_time(mixture: Any, what: str, time: float | None) -> tuple[str, float] | None:
    """Method of distributions, and its time; None if effects are on something else."""
    when = checked_times(what, time)
    if what not in AT_TIME:
        return None
    subject.check_regressor(mixture, "Effects on classes have no time.")
    last = np.max(getattr(mixture, "last_time_", np.inf))
    if when > last * (1.0 + 1e-5):  # as messages round it
        raise ValueError(
            f"time must not be beyond {last:g}, the last time of the fit, after which nothing was "
            f"observed; got {when:g}. Pass an earlier time, in the unit of y."
        )
    return AT_TIME[what], float(when)


def _changes(
    rows: Rows, features: list[tuple[int, str]], step: float
) -> Iterator[tuple[str, Any, Any, float]]:
    """Name, tables at both ends, and width of each change."""
    for j, name in features:
        levels = subject.levels_of(rows.X, j)
        if len(levels.values) < 2:
            raise ValueError(
                f"features must vary in X; {name!r} does not. Pass other features=, or more rows."
            )
        if len(levels.values) == 2 or not subject.is_numeric(rows.X, j):
            low, *others = (
                subject.with_column_of(rows.X, j, np.full(rows.n_rows, row)) for row in levels.rows
            )
            for level, high in zip(levels.texts[1:], others, strict=True):
                yield f"{name}: {levels.texts[0]} to {level}", low, high, 1.0
        else:
            values = subject.numeric_values(rows.X, j)
            known = np.isfinite(values)
            width = step * subject.deviation(values[known], rows.weight[known])
            # Both ends are between values that occur: beyond these, steps of a pipeline may be
            # constant, as splines are by default.
            first, last = values[known].min(), values[known].max()
            start = np.clip(values - 0.5 * width, first, np.maximum(first, last - width))
            low, high = (subject.with_column(rows.X, j, ends) for ends in (start, start + width))
            yield name, low, high, width
