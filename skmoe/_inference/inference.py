"""Results of methods: coefficients with standard errors, maxima, and units."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from html import escape
from typing import Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import chdtrc, expit, logit, ndtr, ndtri

from skmoe._data.checks import check_integer, check_level, shown
from skmoe._data.rows import Rows
from skmoe._inference.labels import default_expert_names, format_number, printable_name
from skmoe._mixture.search import RUNS_OF_SEARCH
from skmoe._numerics.typing import TINY, Array
from skmoe._optional import import_pandas
from skmoe.distributions._mixtures import check_random_state

# Least width of the names of terms.
MIN_NAME_WIDTH = 20

# Width of a number in a table, and its significant digits.
COLUMN_WIDTH = 11
N_TABLE_DIGITS = 4

# A coefficient that the data do not determine, and slopes of linearly dependent columns.
NOT_DETERMINED, DEPENDENT = "not determined", "dependent"
NO_EFFECT = "zero"  # of variances of random effects

# Derivatives up to this part of the largest are round-off.
DIRECTION_TOL = 1e-6

# Level of the sentences that tests print.
LEVEL = 0.05

# Eigenvalues of a correlation matrix below this fraction of the largest are round-off: dispersions
# that experts share are equal, for example.
EIGENVALUE_RTOL = 1e-9


# Width of a text.
WIDTH = 88


class Result:
    """A result that notebooks show as its frame, or as its text without pandas."""

    @abstractmethod
    def to_frame(self) -> Any:
        """The result as a pandas frame."""

    def _repr_html_(self) -> str:
        try:
            table = self.to_frame()._repr_html_()  # it may be switched off by an option of pandas
        except ImportError:
            table = None
        return f"<pre>{escape(repr(self))}</pre>" if table is None else str(table)


def frame_of(result: Any, columns: Any, labels: Any = None, names: Any = None) -> Any:
    """A pandas frame of columns; labels of the rows are of one or several levels, by their names.

    An error of a missing pandas names the result.
    """
    pandas = import_pandas(f"{type(result).__name__}.to_frame")
    if isinstance(names, str):
        labels = pandas.Index(labels, name=names)
    elif names is not None:
        labels = pandas.MultiIndex.from_tuples(labels, names=names)
    return pandas.DataFrame(columns, labels)


class Term(NamedTuple):
    """Name of a coefficient."""

    part: str  # an expert, "all experts" or the names of several that share a slope, or "gate"
    response: str  # output, class, or expert of the gate's log odds; empty if there is one only
    name: str  # of the feature, "(Intercept)", or the name of a dispersion parameter


class Exponentials(NamedTuple):
    """What exponentials of coefficients (T) are, such as rate ratios; NaN for coefficients without.

    Their logs are coefficients times a factor, and times powers of dispersions for hazard ratios.
    """

    name: str
    of: str  # what one unit more of a feature multiplies; "" for no ratio
    factor: Array
    by: Array  # indices of logs of dispersions; of the coefficients themselves without any
    power: Array

    def logs(self, values: Array) -> Array:
        """Their logs (..., T) for coefficients (..., T)."""
        return np.asarray(self.factor * values * np.exp(self.power * values[..., self.by]))

    def errors(self, values: Array, covariance: Array) -> Array:
        """Standard errors of their logs, by the delta method."""
        logs = self.logs(values)
        own, other = self.factor * np.exp(self.power * values[self.by]), self.power * logs
        variance, cross = np.diag(covariance), covariance[np.arange(len(values)), self.by]
        squares = own**2 * variance + 2.0 * own * other * cross + other**2 * variance[self.by]
        return np.sqrt(np.maximum(squares, 0.0))


@dataclass(eq=False, repr=False)
class Inference(Result):
    """Coefficients of a mixture with standard errors.

    Returned by the method `inference` of a fitted estimator. See "Reading a fit" in the user guide.
    Terms without a standard error have NaN there, and a reason in `reasons`, which the notes of
    `summary` explain.

    Attributes
    ----------
    terms : list of (part, response, name)
        Names of the coefficients: the part, an expert's name or "gate"; the output or class of the
        expert, or the expert of the gate's log odds; the feature.
    estimates : ndarray of shape (n_terms,)
        Coefficients in the units of the data.
    covariance : ndarray of shape (n_terms, n_terms)
        Covariance of the estimates.
    full_covariance : ndarray of shape (n_terms, n_terms)
        The same with those of the terms that have a reason, as far as data and penalties determine
        them: for functions of the coefficients, such as average effects.
    gate_reference : int
        Expert against which the coefficients of the gate are log odds, so that it has no terms.
    reasons : list of str of length n_terms
        Why a term has no standard error: "separated", "certain" (first rows of series), "not
        determined", "at its bound", "dropped" (`alpha="ard"`) or "fixed" (a constant feature);
        empty if it has one.
    method : str
        Method of the covariance.
    replicates : ndarray of shape (n_bootstrap, n_terms) or None
        Estimates of the bootstrap.
    is_dispersion : ndarray of bool of shape (n_terms,)
        Terms that are logs of dispersion parameters, such as noise variances: zero is no
        hypothesis about them.
    is_dependent : ndarray of bool of shape (n_terms,)
        Slopes of columns that are exactly linearly dependent, as indicators of all categories are,
        which add up to one. The penalty makes such slopes deviations from their weighted mean, of
        which the standard errors are. Only their differences do not depend on it.
    max_shift : float
        Distance of the estimates from the maximum of the penalised likelihood, in standard errors:
        no coefficient is farther from its value there. A fit that has converged has at most 0.01.
        NaN with "bootstrap", and for other rows than those of the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> inference = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y).inference(X, y)
    >>> inference.conf_int(0.95).shape == (len(inference.terms), 2)
    True
    """

    terms: list[Term]
    estimates: Array
    is_dispersion: Array
    is_dependent: Array
    reasons: list[str]
    gate_reference: int = 0
    method: str = ""  # empty without errors
    full_covariance: Any = None
    replicates: Array | None = None
    max_shift: float = np.nan
    # Besides the public ones: what exponentials are, the names of the references of log odds (or
    # ""), the blocks, the vector (D,) of the fit and those of refits, and of its R coordinates the
    # covariance and which of them the data do not determine.
    exponentials: Sequence[Exponentials] = ()
    references: Sequence[str] = ()
    blocks: Sequence[Any] = ()
    theta: Any = None
    refits: Sequence[Array] = ()
    coordinates: Any = None
    is_unknown: Any = False
    is_variance: Any = False  # which terms are variances, whose logs have intervals
    predictor: Any = None  # what `predictions` calls
    note: str = ""  # below the text

    _heading: ClassVar[str] = "estimate"

    @cached_property
    def covariance(self) -> Array:
        """Covariance of the estimates, NaN for terms that have a reason."""
        unknown = np.array(self.reasons) != ""
        return np.where(unknown | unknown[:, None], np.nan, self.full_covariance)

    @property
    def standard_errors(self) -> Array:
        """Standard errors, of shape (n_terms,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    @property
    def z_values(self) -> Array:
        """Estimates over standard errors; NaN for logs of dispersions."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.is_dispersion, np.nan, self.estimates / self.standard_errors)

    @property
    def p_values(self) -> Array:
        """Two-sided p-values of coefficients of zero, by the normal approximation."""
        return 2.0 * ndtr(-np.abs(self.z_values))

    def conf_int(self, level: float = 0.95) -> Array:
        """Confidence intervals.

        Parameters
        ----------
        level : float, default=0.95
            Confidence, in (0, 1).

        Returns
        -------
        intervals : ndarray of shape (n_terms, 2)
            By the normal approximation, or of the bootstrap: quantiles reflected about the
            estimate, which corrects the bias of penalties (Davison and Hinkley 1997, chapter 5).
            Those of variances of random effects are of their logs.

        Raises
        ------
        ValueError
            If the level is outside (0, 1).
        """
        check_level(level)
        found = confidence_limits(self.estimates, self.standard_errors, self.replicates, level)
        own = np.flatnonzero(self.is_variance)
        if len(own):
            drawn = None if self.replicates is None else np.maximum(self.replicates[:, own], TINY)
            values, errors = self.estimates[own], self.standard_errors[own]
            found[own] = limits_on_scale("log", values, errors, level, drawn)
        return found

    def _columns(self, level: float, error: str, *ends: str) -> dict[str, Array]:
        """Columns of a table, with the given names of the errors and of the ends of intervals."""
        columns = {self._heading: self.estimates}
        if not self.method:
            return columns
        columns |= {error: self.standard_errors, "z": self.z_values, "p": self.p_values}
        return columns | dict(zip(ends, self.conf_int(level).T, strict=True))

    def _ratios(self, level: float, *ends: str) -> dict[str, dict[str, Array]]:
        """By name what exponentials are: columns of their values, and of the ends of intervals."""
        found = {}
        for each in self.exponentials:
            columns = [each.logs(self.estimates)]
            if self.method:
                errors = each.errors(self.estimates, self.covariance)
                replicates = None if self.replicates is None else each.logs(self.replicates)
                columns += [*confidence_limits(columns[0], errors, replicates, level).T]
            with np.errstate(over="ignore"):
                found[each.name] = dict(zip([each.name, *ends], map(np.exp, columns), strict=False))
        return found

    def _tables(self, chosen: list[int], level: float) -> list[str]:
        """Lines of a table of chosen terms, and of tables of the ratios that they have."""
        tail = 50 * (1 - level)
        ends = f"{tail:g} %", f"{100 - tail:g} %"
        dependent = np.where(self.is_dependent, DEPENDENT, "")
        marks = [a or b for a, b in zip(self.reasons, dependent, strict=True)]
        lines = table_lines(self.terms, self._columns(level, "std. error", *ends), marks, chosen)
        for name, columns in self._ratios(level, *ends).items():
            own = [i for i in chosen if not np.isnan(columns[name][i])]
            lines += table_lines(self.terms, columns, marks, own, columns) if own else []
        return lines

    def wald_test(self, terms: Sequence[Sequence[str]], *, equal: bool = False) -> WaldTest:
        """Test that several coefficients are zero, or that they are equal.

        See "Tests of hypotheses" in the user guide.

        Parameters
        ----------
        terms : list of (part, response, name)
            Some of the `terms`, such as `("expert 0", "", "age")`.
        equal : bool, default=False
            Whether the hypothesis is that the coefficients are equal, instead of zero.

        Returns
        -------
        result : object
            Printed, it is a sentence. The attribute `statistic` is the quadratic form of the
            coefficients, or of their differences, and the inverse of their covariance. `df` is the
            number of those that do not depend on each other, and `p_value` the probability of a
            statistic at least as large under the hypothesis, by the chi-squared distribution.

        Raises
        ------
        ValueError
            If a term does not occur or has no standard error, or if it is the log of a dispersion,
            which may be equal to others but not zero.
        """
        chosen = _chosen_terms(self, terms, equal)
        contrasts = np.eye(len(chosen))
        if equal:
            contrasts = contrasts[1:] - contrasts[:1]
        covariance = contrasts @ self.covariance[np.ix_(chosen, chosen)] @ contrasts.T
        return wald(contrasts @ self.estimates[chosen], covariance)

    def draws(self, n_draws: int, *, random_state: Any = None) -> Any:
        """Draws of all coefficients from the normal approximation to their posterior.

        Its mean are the estimates, and its covariance `full_covariance`: with the method "observed"
        the inverse of the observed information, in which penalties are priors (Laplace). A function
        of the coefficients, such as a ratio of slopes, has an interval by its quantiles.

        Terms without a standard error have finite draws too. Where `reasons` has "separated" their
        spread is that of the penalties, not of the data: their quantiles are no confidence limits.

        Parameters
        ----------
        n_draws : int
            Number of draws.
        random_state : int, RandomState instance or None, default=None
            Source of randomness. An integer makes the result reproducible.

        Returns
        -------
        draws : pandas.DataFrame of shape (n_draws, n_terms)
            Each column has the part, response and name of a term. Dispersions are logs.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If there is no covariance, as of average effects without `inference`.

        Examples
        --------
        >>> from sklearn.datasets import load_diabetes
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> X, y = load_diabetes(return_X_y=True, as_frame=True)
        >>> moe = MixtureOfExpertsRegressor(n_experts=1).fit(X, y)
        >>> draws = moe.inference(X, y).draws(4000, random_state=0)
        >>> ratio = draws["expert 0", "", "bmi"] / draws["expert 0", "", "bp"]
        >>> ratio.quantile([0.025, 0.5, 0.975]).round().tolist()
        [1.0, 2.0, 3.0]
        """
        check_integer("n_draws", n_draws, least=1)
        generator = check_random_state(random_state)
        if not self.method:
            raise ValueError(
                "draws needs standard errors; this result has none. Pass the data of the fit, or "
                "inference=."
            )
        scale = np.sqrt(np.maximum(np.diag(self.full_covariance), np.finfo(float).tiny))
        # The covariance may be singular.
        values, vectors = np.linalg.eigh(self.full_covariance / np.outer(scale, scale))
        root = scale[:, None] * vectors * np.sqrt(np.maximum(values, 0.0))
        normal = generator.standard_normal((n_draws, len(scale)))
        pandas = import_pandas(f"{type(self).__name__}.draws")
        names = pandas.MultiIndex.from_tuples(self.terms, names=["part", "response", "term"])
        return pandas.DataFrame(self.estimates + normal @ root.T, columns=names)

    def predictions(
        self,
        X: Any,
        *,
        what: str = "mean",
        time: Any = None,
        quantile: float | None = None,
        level: float = 0.95,
        offset: Any = None,
    ) -> Any:
        """What the mixture predicts for new rows, with confidence intervals.

        They are about the prediction, such as a mean or a probability, and not about y: of that
        `predict_interval` has intervals. Standard errors are by the delta method, for quantiles by
        that of the distribution function, or those of the refits of a bootstrap. Limits stay in the
        range of what is predicted. They are symmetric in the log under a log link, in the log odds
        of probabilities and restricted means, and for survival in the log of the cumulative hazard
        [1]_. Rows of series have the shares of time in each regime if the features stay.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        what : {"mean", "quantile", "survival", "restricted_mean"}, default="mean"
            The mean, or the probabilities of the classes; a quantile; the probability of a value
            above `time`, such as that of no event until then; or the mean time without an event
            until `time`. The mean of right-censored times is extrapolated beyond the last time of
            the fit.
        time : float or array-like of shape (n_times,), default=None
            One time or several, in the unit of y, for survival and restricted means.
        quantile : float, default=None
            With `what="quantile"`: its probability, in (0, 1). None for 0.5, the median.
        level : float, default=0.95
            Confidence of the intervals, in (0, 1).
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.

        Returns
        -------
        frame : pandas.DataFrame
            Columns "estimate", "standard error", "lower" and "upper". The index is that of X, with
            the time and the output or class, if there are several. NaN where the data do not
            determine an error, or a quantile has none: it is infinite, or a value that has a
            probability of its own, as counts are.

        Raises
        ------
        ImportError
            If pandas is not installed.
        ValueError
            If this is not what the method `inference` of a mixture has returned, a parameter is
            invalid, or the mean is infinite.

        References
        ----------
        .. [1] J. D. Kalbfleisch and R. L. Prentice (2002), "The Statistical Analysis of Failure
           Time Data", 2nd edition, Wiley, sections 1.4 and 3.4.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> from skmoe.data import right_censored
        >>> time = np.random.default_rng(0).weibull(2, size=200)
        >>> X, y = np.zeros((200, 1)), right_censored(np.minimum(time, 1), time < 1)
        >>> inference = MixtureOfExpertsRegressor(1, family="weibull").fit(X, y).inference(X, y)
        >>> inference.predictions([[0.0]], what="survival", time=1.0).round(2)
           estimate  standard error  lower  upper
        0      0.43            0.03   0.36   0.49
        """
        if self.predictor is None:
            raise ValueError(
                f"predictions needs the coefficients of a mixture; got {type(self).__name__}. Use "
                "moe.inference(X, y).predictions(X_new)."
            )
        check_level(level)
        return self.predictor(self, Rows(X, offset=offset), (what, time, quantile), level)

    def to_frame(self, level: float = 0.95) -> Any:
        """A pandas frame with a row for each term.

        Parameters
        ----------
        level : float, default=0.95
            Confidence of the intervals, in (0, 1).

        Returns
        -------
        frame : pandas.DataFrame
            Indexed by part, response and name. Columns such as "odds ratio", "odds ratio lower" and
            "odds ratio upper" are exponentials of slopes and intervals, named for what they are:
            see "Families" in the user guide. They are NaN for terms that are not such a ratio.
            "reference" is the expert or class against which a term is log odds.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        columns = self._columns(level, "standard error", "lower", "upper")
        for name, values in self._ratios(level, "lower", "upper").items():
            columns |= {name if end == name else f"{name} {end}": v for end, v in values.items()}
        frame = frame_of(self, columns, self.terms, ["part", "response", "term"])
        frame = frame.assign(reference=self.references) if any(self.references) else frame
        return frame.assign(reason=self.reasons) if self.method else frame

    def __repr__(self) -> str:
        return f"<Inference on {len(self.terms)} terms: {self.method}>"


def delta_method(inference: Inference, derivatives: Array) -> tuple[Array, list[str]]:
    """Covariance (E, E) of functions with derivatives (E, R), and why some have none."""
    used, unknown = _determined(inference, derivatives)
    return used @ inference.coordinates @ used.T, np.where(unknown, NOT_DETERMINED, "").tolist()


def delta_errors(inference: Inference, derivatives: Array) -> Array:
    """Standard errors (...) of functions with derivatives (..., R); NaN for undetermined ones."""
    used, unknown = _determined(inference, derivatives)
    variance = (used @ inference.coordinates * used).sum(axis=-1)
    return np.where(unknown, np.nan, np.sqrt(np.maximum(variance, 0.0)))


def _determined(inference: Inference, derivatives: Array) -> tuple[Array, Array]:
    """Derivatives without round-off, and which functions need what the data do not determine."""
    size = np.abs(derivatives)
    involved = size > DIRECTION_TOL * size.max(axis=-1, keepdims=True, initial=0.0)
    return np.where(involved, derivatives, 0.0), (involved & inference.is_unknown).any(axis=-1)


def confidence_limits(
    estimates: Array, errors: Array, replicates: Array | None, level: float
) -> Array:
    """Confidence intervals (..., 2), by the errors or by the estimates of a bootstrap."""
    tails = np.array([0.5 * (1.0 - level), 0.5 * (1.0 + level)])
    if replicates is not None:
        reflected = np.moveaxis(np.quantile(replicates, tails[::-1], axis=0), 0, -1)
        return np.asarray(2.0 * estimates[..., None] - reflected)
    return np.asarray(estimates[..., None] + errors[..., None] * ndtri(tails))


# Functions on whose scale intervals are symmetric, their derivatives and their inverses.
SCALES: dict[str, tuple[Callable[[Array], Array], ...]] = {
    "": (np.asarray, np.ones_like, np.asarray),
    "log": (np.log, np.reciprocal, np.exp),
    "logit": (logit, lambda share: 1.0 / (share * (1.0 - share)), expit),
    "survival": (
        lambda share: np.log(-np.log(share)),
        lambda share: 1.0 / (share * np.log(share)),
        lambda value: np.exp(-np.exp(value)),
    ),
}


def limits_on_scale(
    name: str, values: Array, errors: Array, level: float, replicates: Array | None = None
) -> Array:
    """Confidence intervals (..., 2) that are symmetric on a scale, or reflect the replicates."""
    to_scale, slope, from_scale = SCALES[name]
    with np.errstate(all="ignore"):  # values at the ends of a scale have none
        drawn = None if replicates is None else to_scale(replicates)
        ends = confidence_limits(to_scale(values), np.abs(slope(values)) * errors, drawn, level)
        return np.sort(from_scale(ends), axis=-1)


# --- tables as text ---------------------------------------------------------------------------


def table_cell(value: float, column: str, is_ratio: bool) -> str:
    """A number in a column of a table of coefficients, such as "p" or "z"."""
    text = format_number(value, N_TABLE_DIGITS)
    if np.isnan(value):
        text = ""
    elif column == "p":
        text = "<0.0001" if value < 1e-4 else f"{value:.4f}"
    elif column == "z":
        text = f"{value:.2f}"
    elif is_ratio and 0.0 < abs(value - 1.0) < 0.1:  # the digits of the difference from 1
        decimals = N_TABLE_DIGITS - 2 - int(f"{value - 1.0:.2e}".partition("e")[2])
        text = f"{value:.{min(decimals, COLUMN_WIDTH - 4)}f}"
    return f"{text:>{max(COLUMN_WIDTH, len(column) + 1)}}"


def table_lines(
    terms: Sequence[Term],
    columns: Mapping[str, Array],
    remarks: Sequence[str],
    chosen: list[int],
    ratios: Collection[str] = (),
) -> list[str]:
    """Lines of a table of chosen terms, with a line before those of each response."""
    names = [printable_name(term.name) for term in terms]
    response, width = "", max(MIN_NAME_WIDTH, *map(len, names))
    headings = [f"{name:>{max(COLUMN_WIDTH, len(name) + 1)}}" for name in columns]
    lines = [" " * (2 + width) + "".join(headings)]
    for i in chosen:
        if terms[i].response != response:
            response = terms[i].response
            lines.append(f"  {printable_name(response)}")
        cells = "".join(table_cell(of[i], name, name in ratios) for name, of in columns.items())
        lines.append(f"  {names[i]:<{width}}{cells}  {remarks[i]}".rstrip())
    return lines


# --- tests ------------------------------------------------------------------------------------


@dataclass(eq=False)
class WaldTest:
    """Wald's test of several coefficients, as `Inference.wald_test` describes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 1))
    >>> y = np.where(rng.random(200) < 0.5, 3 + X[:, 0], X[:, 0]) + 0.3 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0).fit(X, y)
    >>> terms = [("expert 0", "", "x0"), ("expert 1", "", "x0")]
    >>> moe.inference(X, y).wald_test(terms, equal=True).df
    1
    """

    statistic: float
    df: int
    p_value: float

    def __repr__(self) -> str:
        return describe_test("Wald", self, "The hypothesis is")


def wald(values: Array, covariance: Array) -> WaldTest:
    """Test that values are zero, whose covariance may be singular."""
    unit = 1.0 / np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    eigenvalues, vectors = np.linalg.eigh(covariance * unit[:, None] * unit)
    kept = eigenvalues > EIGENVALUE_RTOL * eigenvalues.max(initial=0.0)
    along = vectors[:, kept].T @ (values * unit)
    statistic, df = float((np.square(along) / eigenvalues[kept]).sum()), int(kept.sum())
    return WaldTest(statistic, df, float(chdtrc(df, statistic)))


def describe_test(name: str, test: Any, subject: str) -> str:
    """The result of a chi-squared test, and whether its hypothesis is rejected."""
    rejected = "rejected" if test.p_value < LEVEL else "not rejected"
    return (
        f"{name} statistic {test.statistic:.4g}, degrees of freedom {test.df}, p = "
        f"{test.p_value:.3g}. {subject} {rejected} at the level of {100 * LEVEL:g} %."
    )


def _chosen_terms(inference: Any, terms: Sequence[Any], equal: bool) -> list[int]:
    """Indices of terms with a covariance, which a test must have."""
    known = [tuple(term) for term in inference.terms]
    try:
        given = dict.fromkeys(tuple(term) for term in terms)
    except TypeError:
        given = {}
    if len(given) < 1 + equal or not given.keys() <= set(known):
        raise ValueError(
            f"terms must be {'at least two' if equal else 'a list'} of the terms of `terms`, each "
            f"with part, response and name, such as {known[0]}; got {shown(terms)}. Pass some of "
            "inference.terms."
        )
    chosen = [known.index(term) for term in given]
    for i in chosen:
        reason = inference.reasons[i]
        if not reason and inference.is_dispersion[i] and not equal:
            reason = "the log of a dispersion or probability, for which zero is no hypothesis"
        if reason:
            raise ValueError(
                "terms must have a standard error, and zero as a hypothesis; "
                f"{tuple(inference.terms[i])} is {reason}. Leave it out."
            )
    return chosen


# --- other results of methods -----------------------------------------------------------------


class Maxima(NamedTuple):
    """Values that the starts or searches of a fit have reached, the best one first.

    The fitted attribute `maxima_`; it is not constructed by hand. Values that differ by less than
    0.05, or by less than `tol` per row, count as one. They are penalised log-likelihoods, at the
    penalties at which starts are compared: those from which `fit` searches for others, so that
    `lower_bound_` of the fit has another value. Starts of large tables run on a sample, whose
    values are scaled to all rows.

    Counts are no proof. Starts from the same partition of the rows count once, but different ones
    can all miss a better maximum. The runs of one search descend from one mixture, whose experts
    are exchanged, so that they do not count as independent: several searches (`n_init=3`) are.

    It is empty where nothing was compared: after a warm start or given responsibilities.

    Attributes
    ----------
    penalised_log_likelihoods : tuple of float
        Penalised log-likelihoods of all rows, the best first.
    n_times : tuple of int
        How often each of them was reached.
    smallest_shares : tuple of float
        Smallest share of the rows, or units, that an expert has there. The first is that of the
        fit.
    runs : str
        What is counted: "searches" (`init="search"` with several), "runs of one search" (with
        one), "different starts", or those "that converged or ran longest" where others were
        dropped.
    kept : int
        Index, in `start_traces_`, of the start or search that went on to the fit: the best of
        those without a noise variance at its floor.
    is_spurious : tuple of bool
        Whether an expert fits a few rows nearly exactly there, with a dispersion far below that of
        the others. The first is that of the fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0)
    >>> print(moe.fit(X, np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])).maxima_)
    The best value found was reached by 13 of 13 different starts that converged or ran longest, of
    36 in all. Their agreement is no proof: all can miss a better one. init="search" compares 100
    and swaps experts, in three to ten times the time.
    """

    penalised_log_likelihoods: tuple[float, ...] = ()
    n_times: tuple[int, ...] = ()
    smallest_shares: tuple[float, ...] = ()
    runs: str = ""
    kept: int = 0
    is_spurious: tuple[bool, ...] = ()

    @property
    def n_runs(self) -> int:
        """Number of starts or searches that are counted."""
        return sum(self.n_times)

    @property
    def reached(self) -> str:
        """How often the best value was reached, such as "3 of 4 starts"."""
        if self.runs == RUNS_OF_SEARCH:
            return f"one search, best of {self.n_runs} runs"
        kind = self.runs.removeprefix("different ").partition(" ")[0]
        return f"{sum(self.n_times[:1])} of {self.n_runs} {kind}".strip()

    def __str__(self) -> str:
        if not self.n_times:
            return "No starts were compared."
        text, advice = f"The best value found was reached by {self.n_times[0]} of", ""
        if self.runs == RUNS_OF_SEARCH:
            text = "The best value of"
            advice = " They descend from one mixture: n_init=3 makes three independent searches."
        elif self.runs.startswith("different starts"):
            advice = (
                ' Their agreement is no proof: all can miss a better one. init="search" compares '
                "100 and swaps experts, in three to ten times the time."
            )
        text += f" {self.n_runs} {self.runs}"
        if len(self.n_times) > 1:
            gap = self.penalised_log_likelihoods[0] - self.penalised_log_likelihoods[1]
            own, other = (f"{100 * share:.1f} %" for share in self.smallest_shares[:2])
            text += f"; the next one has a penalised log-likelihood that is {gap:.2f} lower, at "
            text += f"the penalties of the starts, and a smallest expert of {other} (of the fit: "
            text += f"{own})"
        text += f".{advice}"
        if any(self.is_spurious):
            first = "This" if self.is_spurious[0] else "Another"
            text += f" {first} maximum is spurious: an expert fits a few rows nearly exactly."
        return text


class UnitResponsibilities(Result):
    """Probability that each expert generated the rows of each unit.

    Returned by `responsibilities` with `units`. It serves predictions for rows of units whose
    history is known, as in `predict(X, gate_proba=table.rows(units))`. See "Predictions for units
    with a history" in the user guide.

    Attributes
    ----------
    labels : ndarray of shape (n_units,)
        Labels of the units, in ascending order.
    proba : ndarray of shape (n_units, n_experts)
        Probabilities, which sum to one over the experts.
    expert_names : list of str of length n_experts
        Names of the experts.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> rng = np.random.default_rng(0)
    >>> units = np.repeat(np.arange(40), 5)
    >>> X = rng.normal(size=(200, 1))
    >>> y = np.where(units % 2 == 0, 1.0, -1.0) * X[:, 0] + 0.1 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0)
    >>> table = moe.fit(X, y, units=units).responsibilities(X, y, units=units)
    >>> table
    UnitResponsibilities(40 units, 2 experts)
    >>> known = table.rows([0, 1, 2])
    >>> moe.predict([[1.0], [1.0], [1.0]], gate_proba=known).round(0)
    array([ 1., -1.,  1.])
    """

    def __init__(
        self, labels: Array, proba: Array, expert_names: Sequence[str] | None = None
    ) -> None:
        self.labels = labels
        self.proba = proba
        self.expert_names = list(expert_names or default_expert_names(proba.shape[1]))

    def __repr__(self) -> str:
        n_units, n_experts = self.proba.shape
        return f"UnitResponsibilities({n_units} units, {n_experts} experts)"

    def __len__(self) -> int:
        return len(self.labels)

    def rows(self, units: Any, new: Any = None) -> Array:
        """Probabilities of the experts for rows of the units.

        Parameters
        ----------
        units : array-like of shape (n_samples,)
            Labels of the units of rows, in any order.
        new : array-like of shape (n_samples, n_experts), default=None
            Probabilities for rows of units that are not in the table, such as `predict_gate(X)` of
            the same rows. None refuses such units.

        Returns
        -------
        gate_proba : ndarray of shape (n_samples, n_experts)
            For the argument `gate_proba` of predictions.

        Raises
        ------
        ValueError
            If a unit is not in the table and `new` is None, or if `new` has another shape.
        """
        wanted = np.asarray(units)
        index = {label: i for i, label in enumerate(self.labels.tolist())}
        position = np.array([index.get(label, -1) for label in wanted.tolist()], dtype=int)
        is_new = position < 0
        proba = self.proba[position]
        if not is_new.any():
            return proba
        if new is None:
            unknown = wanted[is_new.argmax()]
            raise ValueError(
                f"units must be in the table; {shown(unknown)} is not. Pass new=predict_gate(X), "
                "the probabilities of the gate for units without history."
            )
        prior = np.asarray(new, dtype=np.float64)
        if prior.shape != proba.shape:
            raise ValueError(
                f"new must have shape (n_samples, n_experts) = {proba.shape}; got {prior.shape}. "
                "Pass predict_gate(X) of the same rows."
            )
        return np.where(is_new[:, None], prior, proba)

    def to_frame(self) -> Any:
        """The table as a pandas data frame.

        Returns
        -------
        frame : pandas.DataFrame of shape (n_units, n_experts)
            Indexed by the labels of the units, with the names of the experts as columns.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        columns = dict(zip(self.expert_names, self.proba.T, strict=True))
        return frame_of(self, columns, self.labels, "unit")
