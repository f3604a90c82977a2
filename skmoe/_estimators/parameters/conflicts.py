"""Options that do not go together: one table, which is checked before any work.

The documentation prints the table. An option is named by the words that it has there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.checks import shown
from skmoe._data.sklearn_adapter import has_density
from skmoe._estimators.parameters.slopes import is_for_each_expert
from skmoe.experts._linear import EXPERTS, JOINT_FAMILIES, LinearExperts, LogisticExperts
from skmoe.families import Family, Normal
from skmoe.gates._softmax import SoftmaxGate
from skmoe.protocols import Experts, Gate

# Experts that are not estimators.
PARAMETRIC = (LinearExperts, LogisticExperts, Experts)

BLOCKS, STREAM = "blocks of rows", "partial_fit"
OWN_EXPERTS, OWN_GATE = "experts of your own", "a gate of your own"
TEST = "n_experts_test"
NESTED = "likelihood_ratio_test"
SELECTION = "n_experts that the fit selects"
ESTIMATORS, INIT = "estimators as experts", "init as an array"
KNOWN_EXPERTS, KNOWN_AS_BOOLEANS = "known_experts", "known_experts as booleans"
CENSORED = "censored y"
OFFSET, NO_LOG_LINK = "an offset", "experts with another link than log, or none"
FAMILY = 'a family other than "normal"'
SIGNS, SLOPES = "monotonic_cst", "features of some experts"
FAMILIES, WARM_START = "a list of different families", "warm_start=True"
FULL, NOT_NORMAL = 'covariance_type="full"', 'a family other than "normal" and "lognormal"'
TRANSFORMER = "a transformer in the gate"
LIST, OWN_DENSITY = "a list as family or expert", "an expert with a density of its own"

# What does not go together: each of some options with the last one, and reason and remedy. The
# first conflict is the one that is reported.
CONFLICTS: dict[tuple[str, ...], tuple[str, str]] = {
    (TEST, NESTED, "top_k"): (
        "routing to few experts does not maximise the likelihood",
        "Use top_k=None.",
    ),
    (TEST, "class_weight"): (
        "weighted classes have no likelihood from which targets can be drawn",
        "Use class_weight=None.",
    ),
    (TEST, NESTED, ESTIMATORS): (
        "no fit of estimators maximises a likelihood",
        'Use expert="linear", or choose the number by held-out rows: n_experts="auto".',
    ),
    (NESTED, OWN_DENSITY): (
        "its penalties are its own, and both models are fitted without",
        'Use expert="linear".',
    ),
    (NESTED, "a base"): (
        "both models start from the same likelihood, which predictions of a base change",
        "Use base=None.",
    ),
    (NESTED, SIGNS): (
        "the statistic of slopes at a bound has no chi-squared distribution",
        "Use monotonic_cst=None.",
    ),
    (NESTED, SELECTION): (
        "two models with the same number of experts are compared",
        "Pass an integer, such as n_experts=2.",
    ),
    (TEST, NESTED, BLOCKS): (
        "targets are drawn, or responsibilities computed, for all rows in memory",
        "Pass an array, or a sample of the rows.",
    ),
    (STREAM, 'class_weight="balanced"'): (
        "these weights are not known before the end of the stream",
        "Pass the weights of the classes as a dict.",
    ),
    (OWN_EXPERTS, OWN_GATE, STREAM): (
        "a stream adds up sums in the coefficients of linear predictors",
        'Use expert="linear" with gate="softmax" or "constant", or fit on a sample of the rows.',
    ),
    (STREAM, BLOCKS, ESTIMATORS): (
        "estimators need all rows at once",
        'Use expert="linear", or use fit on an array, of a sample of the rows if need be.',
    ),
    (STREAM, BLOCKS, TEST, "a base"): (
        "a base needs all rows in memory, and no target can be drawn from it",
        "Use base=None.",
    ),
    (STREAM, BLOCKS, TRANSFORMER): (
        "transformers need all rows in memory",
        "Use a gate without a transformer.",
    ),
    (STREAM, BLOCKS, "a family that depends on all values of y"): (
        "it depends on all values of y, which are not known before the last row",
        "Give them to the family.",
    ),
    (STREAM, BLOCKS, TEST, SELECTION): (
        "the number is selected by several fits to rows in memory",
        "Pass an integer, such as n_experts=2, selected on a sample if need be.",
    ),
    (BLOCKS, INIT): (
        "responsibilities are those of rows in memory",
        'Use a named init such as "auto".',
    ),
    ("top_k", KNOWN_EXPERTS): (
        "the known expert of a row may not be among the most probable ones",
        "Use top_k=None.",
    ),
    (SELECTION, KNOWN_AS_BOOLEANS): (
        "booleans are of a given number of experts",
        "Give known_experts as integers, or n_experts as an integer.",
    ),
    (SELECTION, TEST, INIT): (
        "responsibilities are of a given number of experts",
        'Use a named init such as "auto", or n_experts as an integer to fit.',
    ),
    ("an argument with a value for each row", BLOCKS): (
        "the blocks of a RowBlocks hold it",
        "Leave it at None, and yield it with (X, y) from the factory.",
    ),
    (SELECTION, TEST, LIST): (
        "a list has an entry for each of a given number of experts",
        "Give one value for all experts, or fit several lists and compare their bic.",
    ),
    (SELECTION, WARM_START): (
        "a warm start continues with the previous number",
        "Give n_experts as an integer, or use warm_start=False.",
    ),
    ("shared_features", SLOPES, "dispersion_features", SIGNS, FAMILY, OWN_DENSITY): (
        "it has a density of its own",
        'Use expert="linear", or leave that parameter out.',
    ),
    ("shared_features", SLOPES, ESTIMATORS): (
        "only linear experts have slopes",
        'Use expert="linear", or None or one list of columns.',
    ),
    (SELECTION, TEST, SLOPES): (
        "these are features of a given number of experts",
        "Give one list for all experts, or fit several numbers and compare their bic.",
    ),
    ("dispersion_features", ESTIMATORS): (
        "the dispersion of estimators is the same for all rows",
        'Use expert="linear", or dispersion_features=None.',
    ),
    ("dispersion_features", "families without a dispersion"): (
        "there is no dispersion that could depend on features",
        'Choose a family that has one, such as "negative_binomial" for counts.',
    ),
    (STREAM, "dispersion_features"): (
        "a stream has dispersions that are the same for all rows",
        "Use fit on an array or on blocks of rows, or dispersion_features=None.",
    ),
    (SIGNS, ESTIMATORS): (
        "each estimator has signs of its own",
        "Give them to the estimator, as in "
        'HistGradientBoostingRegressor(monotonic_cst=[1, 0]), or use expert="linear".',
    ),
    (SIGNS, "a base"): (
        "predictions of the base are added, which has signs of its own",
        "Use base=None.",
    ),
    (SIGNS, "more than two classes"): (
        "signs are those of the log odds of two classes",
        "Use two classes, such as one against all others.",
    ),
    ('alpha="ard"', "shared_features"): (
        '"ard" finds a penalty for each feature in each expert',
        'Use alpha="auto".',
    ),
    ("shared_features", "dispersion_features", SIGNS, SLOPES, FULL): (
        "it needs outputs that are independent given the expert",
        'Use covariance_type="diag".',
    ),
    (FAMILIES, NOT_NORMAL, ESTIMATORS, OWN_DENSITY, FULL): (
        "the matrix is that of linear experts with normal noise, or normal logarithms",
        'Use covariance_type="diag", or expert="linear" and family="normal" or "lognormal".',
    ),
    (FAMILIES, ESTIMATORS): (
        "estimators have one family in common",
        'Give that, or use expert="linear" for all experts.',
    ),
    ("a family without a mean", ESTIMATORS): (
        "it has no mean that estimators could predict",
        'Choose a family that has, such as "gamma", or use expert="linear".',
    ),
    ('dispersion="shared"', FAMILIES): (
        "a shared dispersion needs one family for all experts",
        'Use dispersion="per_expert".',
    ),
    ("a base", "experts with neither an identity nor a log link"): (
        "predictions of the base are added to a mean, or their logs to an offset",
        "Use base=None.",
    ),
    ("a base", "estimators as experts under a log link"): (
        "predictions of the base are added to the means of estimators",
        'Use base=None, or expert="linear".',
    ),
    (ESTIMATORS, CENSORED): (
        "estimators are fitted to numbers, not to bounds of them",
        'Use expert="linear", with a family such as "weibull".',
    ),
    ("a base", CENSORED): ("a base is fitted to numbers, not to bounds of them", "Use base=None."),
    (FULL, CENSORED): (
        "probabilities of several intervals together are not available",
        'Use covariance_type="diag".',
    ),
    ("experts without probabilities of intervals", CENSORED): (
        "bounds of y need the distribution function of the family",
        'Choose one that has it, such as family="weibull", "lognormal" or "normal".',
    ),
    (TEST, STREAM, CENSORED): (
        "it needs values, which are known of some rows only",
        "Use fit, and compare held-out log densities.",
    ),
    (OFFSET, NO_LOG_LINK): (
        'an offset needs experts with a log link, such as family="poisson"',
        "Choose such a family, subtract it from y under an identity link, or fit without offset.",
    ),
    (ESTIMATORS, "a base", "an offset of each output"): (
        "estimators take an offset of shape (n_samples,), the same for all outputs",
        'Use one fit for each output, or expert="linear" with base=None.',
    ),
    ("units", "predictions of Dask collections"): (
        "chunks may cut a unit",
        "Compute the rows of whole units first, or leave units out.",
    ),
    ("groups", "parametric experts without a base"): (
        "groups keep rows in one fold, and this fit has no folds",
        'Leave groups out, or use them with n_experts="auto", a base or estimators as experts.',
    ),
    ("an exposure", "experts that are no estimators"): (
        "a fit takes its logarithm",
        "Pass offset=np.log(exposure).",
    ),
    ("metadata", "experts that are no estimators"): (
        "such experts take no metadata",
        "Leave metadata out, or use estimators as experts.",
    ),
}


# All options of the table.
OPTIONS_IN_CONFLICTS = {option for options in CONFLICTS for option in options}


def selects_number(n_experts: Any) -> bool:
    """Whether the fit selects the number of experts: by a criterion, or among candidates."""
    return isinstance(n_experts, Iterable) and getattr(n_experts, "shape", None) != ()


# Options that are values of a parameter, besides `parameter` for any and `parameter=value`.
OF_VALUES: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    (SELECTION, "n_experts", selects_number),
    ("a base", "base", lambda value: True),
    (LIST, "family", lambda value: isinstance(value, list | tuple)),
    (LIST, "expert", lambda value: isinstance(value, list | tuple)),
    (SLOPES, "expert_features", is_for_each_expert),
    (SLOPES, "shared_features", lambda value: isinstance(value, Mapping)),
)


class Choice(NamedTuple):
    """An option and its value, which are shown in messages only: that of objects takes time."""

    name: str
    value: Any

    def __str__(self) -> str:
        return f"{self.name}={shown(self.value)}"


def conflict_of(chosen: Mapping[str, Any]) -> str:
    """The message on the first conflict among options, with how it shows them; "" for none."""
    for (*options, other), (reason, remedy) in CONFLICTS.items():
        for option in options:
            if option in chosen and other in chosen:
                return (
                    f"{chosen[option]!s} cannot be used with {chosen[other]!s}: {reason}. {remedy}"
                )
    return ""


def check_conflicts(chosen: Mapping[str, Any]) -> None:
    """Raise ValueError if two of the options do not go together."""
    message = conflict_of(chosen)
    if message:
        raise ValueError(message)


# --- the options of a fit ---------------------------------------------------------------------


def chosen_options(estimator: Any, families: Sequence[Family] = ()) -> dict[str, Any]:
    """The options of the table that the parameters of an estimator are, as messages show them.

    `families` are the valid families of its experts, if they are known.
    """
    chosen: dict[str, Any] = {}
    given = {name: value for name, value in vars(estimator).items() if value is not None}
    for name, value in given.items():
        words = f'{name}="{value}"' if isinstance(value, str) else name
        words = f"{name}={value}" if isinstance(value, bool | np.bool_) else words
        chosen |= {option: Choice(name, value) for option in OPTIONS_IN_CONFLICTS & {name, words}}
    for words, name, is_option in OF_VALUES:
        if name in given and is_option(given[name]):
            chosen[words] = Choice(name, given[name])
    if not isinstance(given.get("init", "auto"), str):
        chosen[INIT] = INIT
    gate = estimator.gate
    if isinstance(gate, Gate | SoftmaxGate) and gate.transformer is not None:
        chosen[TRANSFORMER] = Choice("gate.transformer", gate.transformer)
    if not families:
        return chosen
    if tuple(families) != (Normal(),):
        option = Choice("family", estimator.family)
        chosen[FAMILY] = option
        if any(family.name not in JOINT_FAMILIES for family in families):
            chosen[NOT_NORMAL] = option
        if len(families) > 1:
            chosen[FAMILIES] = option
        if not any(family.has_dispersion for family in families):
            chosen["families without a dispersion"] = option
        if not families[0].takes_mean:
            chosen["a family without a mean"] = option
    expert = estimator.expert
    for entry in expert if isinstance(expert, list | tuple) else [expert]:
        is_name = isinstance(entry, str)
        if isinstance(entry, PARAMETRIC) or (not is_name and has_density(entry)):
            chosen[OWN_DENSITY] = Choice("expert", entry)
        elif not (is_name and entry in EXPERTS):
            chosen[ESTIMATORS] = Choice("expert", expert)
    return chosen
