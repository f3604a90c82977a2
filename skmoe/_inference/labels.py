"""Names and short texts of a fit, and the coefficients of its linear predictors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._numerics.typing import Array
from skmoe.protocols import LinearPredictor

# Equations of the linear predictor of an expert, by its link. `scale` is "log odds" for two classes
# and "logit" otherwise.
LINK_FORMATS = {
    "identity": "{response} = {predictor}",
    "log": "expected {response} = exp({predictor})",
    "logit": "{scale} of {response} = {predictor}",
}

# The equation for any other link.
OTHER_LINK_FORMAT = "{link} of expected {response} = {predictor}"

# Characters that a terminal obeys instead of showing: control characters, such as those that start
# an escape sequence, and those that change the direction of a line.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


# First words of the notes on experts without rows, and on those that fit a few rows exactly.
COLLAPSED = "Experts have collapsed"
SPURIOUS = "A spurious maximum of the likelihood"

# Those of the note on units that differ within their regimes.
DEPENDENCE = "Rows of a unit are correlated", "A level of each unit"

# Significant digits of numbers in texts, and the powers of ten without an exponent.
N_DIGITS = 3
FIXED_POWERS = range(-4, 6)


def format_number(value: float, digits: int = N_DIGITS, sign: str = "") -> str:
    """A number in significant digits, with its sign also if that is plus for `sign="+"`."""
    if value == 0.0 or not np.isfinite(value):
        return f"{value + 0.0:.0f}"  # zero has no sign
    text = f"{value:{sign}.{digits - 1}e}"
    power = int(text.partition("e")[2])
    return text if power not in FIXED_POWERS else f"{value:{sign}.{max(digits - 1 - power, 0)}f}"


def base_term(link: str) -> str:
    """The base model in the linear predictor of a regression."""
    return f"{link}(base)" if link != "identity" else "base"


class Labels(NamedTuple):
    """Names of what a fitted mixture consists of."""

    experts: list[str]
    features: list[str]
    gate_features: list[str]  # columns of `gate_coef_`
    classes: list[str]  # of a classifier; empty for others
    responses: list[str]  # of the coefficient vectors of an expert: outputs, or classes


def printable_name(name: str) -> str:
    """A name as it can be printed in a line: white space as one space, controls as escapes."""
    return printable_line(" ".join(name.split()))


def printable_line(line: str) -> str:
    r"""A line with control characters as escapes, such as `\x1b`."""
    return CONTROL_CHARACTERS.sub(lambda found: ascii(found[0])[1:-1], line)


def output_labels(estimator: Any) -> list[str]:
    """Names of the outputs of a regression: those of a fit with several, or y."""
    return list(getattr(estimator, "output_names_", ["y"]))


def families_of(estimator: Any, k: int) -> list[Any]:
    """The families of an expert for each output, if they are known."""
    family = estimator.families_[k] if hasattr(estimator, "families_") else None
    outcomes = () if family is None else family.outcomes
    return list(outcomes or [family] * len(output_labels(estimator)))


def counted_noun(has_units: bool) -> str:
    """What the shares of experts are of: the units of a fit that had any, and rows otherwise."""
    return "unit" if has_units else "row"


def describe_collapsed(mass: Array, collapsed: Sequence[int], names: Sequence[str]) -> str:
    """The experts that have lost nearly all rows, with their summed responsibilities (K,)."""
    masses = ", ".join(
        f"{printable_name(names[k])} ({mass[k]:.2g} of {mass.sum():.6g} rows)" for k in collapsed
    )
    explained = f"{COLLAPSED}, since others explain their rows better: {masses}, by their "
    return f"{explained}responsibilities. Use fewer experts (n_experts)."


def describe_spikes(names: Sequence[str]) -> str:
    """What experts with these names are that fit a few rows nearly exactly."""
    named, one = ", ".join(map(printable_name, names)), len(names) == 1
    return (
        f"{SPURIOUS}: {named} fit{'s' * one} a few rows nearly exactly, with a dispersion far "
        f"below that of the others, and {'is no regime' if one else 'are no regimes'}. "
        f"{'Its' if one else 'Their'} coefficients and standard errors mean nothing. Use a larger "
        "dispersion_prior (with dispersion_features also a larger alpha), fewer experts "
        '(n_experts), or dispersion="shared".'
    )


def describe_dependence(estimator: Any, found: Any) -> str:
    """Sentence on units that differ within their regimes; "" if they hardly do."""
    if not (found.is_correlated or found.is_by_degrees):
        return ""
    text = f"{DEPENDENCE[0]} beyond their regime ({found.value:.2f})"
    if not found.is_correlated:
        text = f"{DEPENDENCE[1]} that differs by degrees explains the rows as well as regimes do"
    is_normal = set(estimator.expert_kinds_) == {"linear"} and hasattr(estimator, "noise_variance_")
    remedy = " random_features=[] models it." if is_normal else ""
    return f"{text}: numbers of experts are too large then.{remedy}"


def describe_ties(numbers: Sequence[int]) -> str:
    """Sentence on several numbers of experts, the smallest first, of about equal scores."""
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]} experts have about equal scores."


def gate_name(gate: Any) -> str:
    """Name of a gate: the parameter `gate` if it is a name, or the class of an object."""
    return gate if isinstance(gate, str) else type(gate).__name__


def default_expert_names(n_experts: int) -> list[str]:
    """Names of experts that the user has not named."""
    return [f"expert {k}" for k in range(n_experts)]


def link_equation(link: str, response: str, predictor: str, scale: str = "logit") -> str:
    """The equation of an expert with a linear predictor, such as "y = 1.00 + 2.00 x0"."""
    template = LINK_FORMATS.get(link, OTHER_LINK_FORMAT)
    return template.format(link=link, response=response, predictor=predictor, scale=scale)


def format_percent(fraction: float) -> str:
    """A fraction as a percentage; small ones and those near one are not rounded to 0 or 100 %."""
    if 0.0 < fraction < 0.01:
        return "< 1 %"
    if 0.99 < fraction < 1.0:
        return "> 99 %"
    return f"{100 * fraction:.0f} %"


def linear_predictors(estimator: Any) -> list[LinearPredictor]:
    """The blocks of coefficients that are linear predictors, that of the mean first."""
    blocks = [b for b in estimator.coefficient_blocks_ if isinstance(b, LinearPredictor)]
    return sorted(blocks, key=lambda block: not block.is_main)


def coefficients_of_means(estimator: Any) -> Array:
    """Those of the predictors of the means of all outputs, or of the logits, (K, V, 1 + p)."""
    means = [block for block in linear_predictors(estimator) if block.is_main]
    return np.concatenate([coefficients_of(estimator, block) for block in means], axis=1)


def coefficients_of(estimator: Any, block: LinearPredictor) -> Array:
    """Intercepts and slopes, (K, V, 1 + p), of outputs, or of the logits of all classes.

    Experts without linear predictor of the mean have zeros, and those without dispersion NaN.
    """
    features = np.arange(estimator.n_features_in_)
    values = block.values(vars(estimator), estimator.n_experts_, features)
    values = np.nan_to_num(values) if block.is_main else values
    if block.is_main and values.shape[1] < len(getattr(estimator, "classes_", ())):
        values = np.concatenate([np.zeros_like(values), values], axis=1)  # log odds of the second
    return values
