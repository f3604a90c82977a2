"""Results of `inference` and `summary`: coefficients with standard errors, and their text."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from textwrap import wrap
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from skmoe._data.checks import check_level
from skmoe._inference.coefficients import GATE, Coefficients, Term
from skmoe._inference.labels import format_number, power_of_ten, printable_line, printable_name
from skmoe._inference.wald import WaldTest, chosen_terms, wald_test
from skmoe._numerics.typing import Array
from skmoe._optional import import_pandas

WIDTH = 88

# Why terms have no standard errors, and what to do about it.
FOOTNOTES = {
    "separated": "the features separate the experts, or the classes or counts of an expert, nearly "
    "perfectly, or the expert has rows of one class, or fewer effective rows than coefficients. "
    "Only the penalty keeps the estimate finite. Use larger penalties (alpha, gate_alpha) or fewer "
    "features.",
    "not determined": "the data do not determine the coefficient: the expert has too few rows, two "
    "experts are equal, or features are linearly dependent. Where an expert has no rows of a "
    "class, log odds of this class are not determined, nor log odds against it. Use fewer "
    "experts or features, larger penalties (alpha, gate_alpha), or "
    'OneHotEncoder(drop="first") for categories.',
    "at its bound": "the slope is zero, as the rows lead to the other sign than monotonic_cst has; "
    "or the dispersion is the smallest or largest that is allowed. At the smallest noise variance "
    "an expert repeats the target of its rows: use a larger dispersion_prior or fewer experts. "
    "Counts with the smallest dispersion are Poisson.",
    "dropped": "the feature is not needed: its penalty, found by the evidence, is infinite.",
    "fixed": "the feature is constant, and its coefficient zero. Leave it out.",
}

# How lines are broken.
WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}

# Slopes that are marked in tables, and what they are.
DEPENDENT = "dependent"

# Least width of the names of terms.
MIN_NAME_WIDTH = 20

# Width of a number in a table, and its significant digits.
COLUMN_WIDTH = 11
N_TABLE_DIGITS = 4


class FrameRepr:
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


def two_columns(facts: Mapping[str, str]) -> list[str]:
    """Lines of facts side by side."""
    cells = [f"{name:<22}{value:>20}" for name, value in facts.items()]
    half = (len(cells) + 1) // 2
    right = [*cells[half:], *[""] * (2 * half - len(cells))]
    return [f"{a:<46}{b}".rstrip() for a, b in zip(cells[:half], right, strict=True)]


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
        decimals = N_TABLE_DIGITS - 2 - power_of_ten(value - 1.0)
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


class Inference(FrameRepr):
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
        Why a term has no standard error: "separated", "not determined", "at its bound", "dropped"
        (`alpha="ard"`) or "fixed" (a constant feature); empty if it has one.
    method : str
        Method of the covariance.
    replicates : ndarray of shape (n_bootstrap, n_terms) or None
        Estimates of the bootstrap.
    is_dispersion : ndarray of bool of shape (n_terms,)
        Terms that are logs of dispersion parameters, such as noise variances: zero is no
        hypothesis about them.
    has_ratio : ndarray of bool of shape (n_terms,)
        Slopes whose exponentials are ratios for one unit more of the feature, such as rate ratios
        of counts and odds ratios of the gate.
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

    def __init__(
        self,
        coefficients: Coefficients,
        covariance: Array,
        reasons: list[str],
        method: str,
        replicates: Array | None = None,
        max_shift: float = np.nan,
        is_dependent: Array | None = None,
    ) -> None:
        self._coefficients = coefficients
        self.terms: list[Term] = coefficients.terms
        self.estimates = coefficients.values
        self.is_dispersion = coefficients.is_dispersion
        factors = [each.factor for each in coefficients.exponentials]
        self.has_ratio = np.isfinite([*factors, np.full(len(self.terms), np.nan)]).any(axis=0)
        self.has_ratio &= ~self.is_dispersion
        self.gate_reference = coefficients.gate_reference
        self.full_covariance = covariance
        self.covariance = covariance.copy()
        unknown = np.array(reasons) != ""
        self.covariance[unknown] = self.covariance[:, unknown] = np.nan
        self.reasons = reasons
        self.method = method
        self.replicates = replicates
        self.max_shift = max_shift
        none = np.zeros(len(self.terms), dtype=bool)
        self.is_dependent = none if is_dependent is None else is_dependent

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

        Raises
        ------
        ValueError
            If the level is outside (0, 1).
        """
        check_level(level)
        return _intervals(self.estimates, self.standard_errors, self.replicates, level)

    def _exponentials(self, level: float) -> dict[str, Array]:
        """By name what exponentials of coefficients are, and the ends of intervals, (3, T)."""
        found = {}
        for each in self._coefficients.exponentials:
            logs, errors = each.logs(self.estimates), each.errors(self.estimates, self.covariance)
            replicates = None if self.replicates is None else each.logs(self.replicates)
            ends = _intervals(logs, errors, replicates, level)
            with np.errstate(over="ignore"):
                found[each.name] = np.exp(np.vstack([logs, ends.T]))
        return found

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
        chosen = chosen_terms(self, terms, equal)
        contrasts = np.eye(len(chosen))
        if equal:
            contrasts = contrasts[1:] - contrasts[:1]
        covariance = contrasts @ self.covariance[np.ix_(chosen, chosen)] @ contrasts.T
        return wald_test(contrasts @ self.estimates[chosen], covariance)

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
        columns = columns_of_inference(self, level, "standard error", "lower", "upper")
        for name, values in self._exponentials(level).items():
            ends = ("", " lower", " upper")
            columns |= {f"{name}{end}": v for end, v in zip(ends, values, strict=True)}
        return frame_of_terms(self._coefficients, columns).assign(reason=self.reasons)

    def __repr__(self) -> str:
        return f"<Inference on {len(self.terms)} terms: {self.method}>"


def _intervals(estimates: Array, errors: Array, replicates: Array | None, level: float) -> Array:
    """Confidence intervals (T, 2), by the errors or by the estimates of a bootstrap."""
    tails = np.array([0.5 * (1.0 - level), 0.5 * (1.0 + level)])
    if replicates is not None:
        return np.asarray((2.0 * estimates - np.quantile(replicates, tails[::-1], axis=0)).T)
    return np.asarray(estimates[:, None] + errors[:, None] * ndtri(tails))


def frame_of_terms(coefficients: Coefficients, columns: Mapping[str, Array]) -> Any:
    """A pandas frame of numbers for each term, and of its reference if any term has one."""
    pandas = import_pandas("Inference.to_frame")
    index = pandas.MultiIndex.from_tuples(coefficients.terms, names=["part", "response", "term"])
    frame = pandas.DataFrame(columns, index=index)
    has_references = any(coefficients.references)
    return frame.assign(reference=coefficients.references) if has_references else frame


def columns_of_inference(
    inference: Inference, level: float, error: str, lower: str, upper: str
) -> dict[str, Array]:
    """Columns with the given names of the errors and of the ends of the intervals."""
    numbers = {"z": inference.z_values, "p": inference.p_values}
    ends = dict(zip((lower, upper), inference.conf_int(level).T, strict=True))
    return {"estimate": inference.estimates, error: inference.standard_errors} | numbers | ends


def columns_of_table(inference: Inference, level: float) -> dict[str, Array]:
    """Columns of a table as text, by their headings."""
    return columns_of_inference(inference, level, "std. error", *_names_of_ends(level))


def _names_of_ends(level: float) -> list[str]:
    tail = 50 * (1 - level)
    return [f"{tail:g} %", f"{100 - tail:g} %"]


@dataclass(frozen=True, eq=False)
class ExpertSummary:
    """Summary of an expert, in the attribute `experts` of a `Summary`.

    Attributes
    ----------
    name : str
        Its name, as in `expert_names_`.
    gate_description : str
        The rows for which the gate chooses it.
    kind : str
        "linear", or the name of the estimator or of the family.
    share : float
        Mean probability by the gate, as in `weights_`.
    rows : float
        Effective rows: the sum of its responsibilities. NaN without the data.
    load : float
        Weight of the rows that are routed to it: each row to the `top_k` most probable experts, or
        without `top_k` to the most probable one.
    noise : ndarray of shape (n_outputs,) or None
        Standard deviations of the noise.
    importances : list of (str, float)
        The most important features, of estimators that have `feature_importances_`.
    gate_effects : list of (str, float)
        For each column of the gate the log odds of the expert against the reference, for one
        standard deviation of the column in the fit. Empty for a gate without slopes.
    mean_probability : float
        Mean of its responsibilities for the rows, or units, of which it has the largest (average
        posterior probability). Near 1 if they clearly belong to it; NaN without the data.
    dispersion_description : str
        How its dispersion depends on features; "" if it does not.
    """

    name: str
    gate_description: str
    kind: str
    share: float
    rows: float
    load: float
    noise: Array | None
    importances: list[tuple[str, float]]
    gate_effects: list[tuple[str, float]]
    mean_probability: float
    dispersion_description: str = ""

    def _columns(self) -> dict[str, Any]:
        """Columns of a frame, with None for what the expert does not have."""
        noise: list[float] = [] if self.noise is None else self.noise.tolist()
        named = [f"noise sd of y{j}" for j in range(len(noise))] if len(noise) > 1 else ["noise sd"]
        return {
            "expert": self.name,
            "kind": self.kind,
            "share": self.share,
            "rows": self.rows,
            "mean_probability": self.mean_probability,
            **dict(zip(named, noise, strict=False)),
            **dict(self.importances),
            "gate_description": self.gate_description,
            "dispersion_description": self.dispersion_description or None,
        }


@dataclass(eq=False, repr=False)
class Summary:
    """Summary of a fitted mixture, to be printed or read by its attributes.

    Returned by the method `summary`. See "A summary, line by line" in the user guide.

    Attributes
    ----------
    title : str
        The first line.
    facts : dict of str to str
        Facts about the whole fit, by name.
    experts : list of ExpertSummary
        Summary of each expert.
    inference : Inference or None
        Coefficients with standard errors, if the data were given.
    level : float
        Confidence of the intervals.
    gate : str
        What the coefficients of the gate are: log odds against the reference.
    notes : list of str
        How to read the numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, np.abs(X[:, 0]))
    >>> [expert.kind for expert in moe.summary().experts]
    ['linear', 'linear']
    """

    title: str
    facts: dict[str, str]
    experts: list[ExpertSummary]
    inference: Inference | None
    level: float
    _coefficients: Coefficients | None
    gate: str
    notes: list[str]
    _counted: str = "row"

    def to_frame(self, what: str = "coefficients") -> Any:
        """A pandas frame.

        Parameters
        ----------
        what : {"coefficients", "experts"}, default="coefficients"
            Rows of the frame: coefficients with their errors, or experts.

        Returns
        -------
        frame : pandas.DataFrame
            One row for each term, as `Inference.to_frame` has it, or for each expert, indexed by
            its name. Columns of experts are fields of `ExpertSummary`, standard deviations of the
            noise and importances, as far as the fit has them.

        Raises
        ------
        ValueError
            If `what` is neither, or the experts have no coefficients.
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("Summary.to_frame")
        if what == "experts":
            frame = pandas.DataFrame([expert._columns() for expert in self.experts])
            return frame.set_index("expert").dropna(axis=1, how="all")
        if what != "coefficients" or self._coefficients is None:
            raise ValueError(
                f'what must be "experts" or, for experts with coefficients, "coefficients"; got '
                f"{what!r}."
            )
        if self.inference is not None:
            return self.inference.to_frame(self.level)
        return frame_of_terms(self._coefficients, self._estimates())

    def __str__(self) -> str:
        lines, widths = [], [WIDTH]
        for expert in self.experts:
            table = self._table(expert.name, with_dispersion=expert.noise is None)
            widths += map(len, table[:1])
            lines += ["", _heading(expert, self._counted)]
            for text in filter(None, (expert.gate_description, expert.dispersion_description)):
                lines += wrap(f"  {text}", WIDTH, subsequent_indent="    ", **WHOLE_WORDS)
            lines += table
            lines += [f"  {name:<24}{format_number(v):>10}" for name, v in expert.importances]
        shared = [(f"Common to {part}", part) for part in self._shared_parts()]
        for heading, part in (*shared, (f"Gate: {self.gate}", GATE)):
            table = self._table(part)
            widths += map(len, table[:1])
            lines += ["", heading, *table] if table else []
        rule = "=" * max(widths)
        notes = [line for note in self.notes for line in wrap(note, WIDTH, **WHOLE_WORDS)]
        top = [rule, self.title, rule, *two_columns(self.facts)]
        return "\n".join(map(printable_line, [*top, *lines, rule, *notes]))

    __repr__ = __str__

    def _shared_parts(self) -> list[str]:
        """The experts that share slopes, in words."""
        terms = [] if self._coefficients is None else self._coefficients.terms
        others = {GATE, *(expert.name for expert in self.experts)}
        return list(dict.fromkeys(term.part for term in terms if term.part not in others))

    def _estimates(self) -> dict[str, Array]:
        """Estimates, and what their exponentials are, by name."""
        assert self._coefficients is not None
        values = self._coefficients.values
        with np.errstate(over="ignore"):
            ratios = {e.name: np.exp(e.logs(values)) for e in self._coefficients.exponentials}
        return {"estimate": values} | ratios

    def _table(self, part: str, with_dispersion: bool = True) -> list[str]:
        """Lines of the tables of the coefficients of a part, without dispersions if so chosen."""
        if self._coefficients is None:
            return []
        terms, _, is_dispersion, *_ = self._coefficients
        chosen = [
            i
            for i, term in enumerate(terms)
            if term.part == part and (with_dispersion or not is_dispersion[i])
        ]
        if not chosen:
            return []
        if self.inference is None:
            columns = self._estimates()
            shown = {name: of for name, of in columns.items() if not np.isnan(of[chosen]).all()}
            none = [""] * len(terms)
            return table_lines(terms, shown, none, chosen, shown.keys() - {"estimate"})
        dependent = np.where(self.inference.is_dependent, DEPENDENT, "")
        marks = [a or b for a, b in zip(self.inference.reasons, dependent, strict=True)]
        lines = table_lines(terms, columns_of_table(self.inference, self.level), marks, chosen)
        for name, values in self.inference._exponentials(self.level).items():
            own = [i for i in chosen if not np.isnan(values[0, i])]
            columns = dict(zip([name, *_names_of_ends(self.level)], values, strict=True))
            lines += table_lines(terms, columns, marks, own, columns) if own else []
        return lines


def _heading(expert: ExpertSummary, counted: str) -> str:
    rows = "" if np.isnan(expert.rows) else f", {expert.rows:.5g} effective rows"
    noise = ""
    if expert.noise is not None:
        noise = ", noise sd " + ", ".join(format_number(sd, N_TABLE_DIGITS) for sd in expert.noise)
    share = f"{100 * expert.share:.1f} % of the {counted}s"
    return f"{printable_name(expert.name)} ({expert.kind}): {share}{rows}{noise}"
