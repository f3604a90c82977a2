"""Options that do not go together: one table, which is checked before any work.

The documentation prints the table. An option is named by the words that it has there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from skmoe._data.checks import shown
from skmoe._data.sklearn_adapter import has_density
from skmoe.experts._linear import EXPERTS, JOINT_FAMILIES, LinearExperts, LogisticExperts
from skmoe.families import Family, Normal
from skmoe.gates import persists
from skmoe.protocols import Experts, Gate

# Experts that are not estimators.
PARAMETRIC = (LinearExperts, LogisticExperts, Experts)

# The families of the default.
NORMAL: tuple[Family, ...] = (Normal(),)

BLOCKS, STREAM = "blocks of rows", "partial_fit"
DRAWN = "likelihood_ratio_test by draws"
TEST, NESTED = "n_experts_test", "likelihood_ratio_test"
SELECTION = "n_experts that the fit selects"
ESTIMATORS, INIT, BASE = "estimators as experts", "init as an array", "a base"
OWN_EXPERTS, OWN_DENSITY = "experts of your own", "an expert with a density of its own"
KNOWN_EXPERTS = "known_experts"
CENSORED, OFFSET, AVERAGES = "censored y", "an offset", "var_weights"
NOT_OF_AVERAGES = "families of which averages have another distribution"
ENTRY, INTERVALS = "y with delayed entry", "y between two bounds"
ENTRY_OF_UNITS = "delayed entry of units, or of several outputs"
NO_LOG_LINK = "experts with another link than log, or none"
FAMILY, FAMILIES = 'a family other than "normal"', "a list of different families"
NOT_NORMAL = 'a family other than "normal" and "lognormal"'
SIGNS, SLOPES = "monotonic_cst", "features of some experts"
SHARED, DISPERSIONS = "shared_features", "dispersion_features"
FULL, MARKOV = 'covariance_type="full"', 'gate="markov"'
OUTCOMES, MISSING = "family as a dict", "missing values in some outputs"
FEATURES_OF_OUTPUTS = "features as a dict"
EFFECTS, NO_UNITS = "random_features", "rows without units"
TRANSFORMER, LIST = "a transformer in the gate", "a list as family or expert"

# What does not go together: each of some options with each of others, and why, and what to use. The
# first conflict is the one that is reported.
CONFLICTS: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {
    ((TEST, NESTED), ("top_k", ESTIMATORS, BASE)): (
        "such a fit does not maximise the likelihood. Use a gate without top_k, base=None and "
        'expert="linear", or choose the number by held-out rows: n_experts="auto".'
    ),
    ((NESTED,), (OWN_DENSITY, SIGNS)): (
        "its statistic is chi-squared for linear experts without penalties and signs. "
        'Use expert="linear" and monotonic_cst=None.'
    ),
    ((NESTED,), (TRANSFORMER,)): (
        "gates are nested if the features of one are those of the other and more. "
        "Use gates without a transformer, or compare the models by their bic."
    ),
    ((TEST,), ("class_weight",)): (
        "targets are drawn, of classes of equal weight. "
        "Leave it out, or compare held-out log densities."
    ),
    ((TEST, DRAWN), (INTERVALS, ENTRY_OF_UNITS)): (
        "targets are drawn, and how other times would have been observed is not known. "
        "Compare the models by their bic, or by held-out log densities."
    ),
    ((SELECTION, TEST), (INIT, LIST, SLOPES)): (
        "each of a given number of experts has a part of it. "
        "Give what holds for any number, or fit several numbers and compare their bic."
    ),
    ((NESTED, TEST), (SELECTION,)): (
        "the number is part of the hypothesis. Pass an integer, such as n_experts=2."
    ),
    ((STREAM,), (SELECTION,)): (
        "its first rows do not show the number. Pass an integer, such as n_experts=4."
    ),
    (
        (BLOCKS, STREAM),
        (
            *(ESTIMATORS, BASE, TRANSFORMER, INIT),
            "a family that depends on all values of y",
        ),
    ): (
        "estimators need all rows at once, and so do a base, a transformer and a start. Use "
        'expert="linear", base=None, a gate without a transformer and a named init, give a family '
        "what it depends on, or fit a sample of the rows in an array."
    ),
    ((TEST, NESTED), (BLOCKS,)): "it needs all rows in memory. Use a sample of the rows.",
    ((STREAM,), ('class_weight="balanced"', DISPERSIONS, CENSORED)): (
        "a stream adds up sums of values with given weights and the same dispersion. "
        "Use fit, or give the weights of the classes as a dict."
    ),
    ((STREAM,), (OWN_EXPERTS, "a gate of your own")): (
        "a stream adds up sums in the coefficients of linear predictors. "
        'Use expert="linear" with gate="softmax" or "constant", or fit on a sample of the rows.'
    ),
    (("an argument with a value for each row",), (BLOCKS,)): (
        "the blocks of a RowBlocks hold it. "
        "Leave it at None, and yield it with (X, y) from the factory."
    ),
    ((MARKOV,), ("class_weight", STREAM, TEST, DRAWN)): (
        "rows of a series follow one another, and have one weight. "
        "Leave it out, use fit, or compare numbers of experts by held-out rows or their bic."
    ),
    ((OUTCOMES, FEATURES_OF_OUTPUTS), (BLOCKS, STREAM, ESTIMATORS, OWN_DENSITY, BASE, FULL)): (
        "outputs of different kinds are of linear experts, independent given the expert, with all "
        'rows in memory. Use expert="linear", covariance_type="diag" and base=None, or one family.'
    ),
    ((MISSING,), (STREAM, ESTIMATORS, OWN_EXPERTS, BASE)): (
        "they learn from all outputs of a row, and so does a stream. "
        'Use fit with expert="linear" and base=None, or drop rows with missing values.'
    ),
    ((EFFECTS,), (NO_UNITS,)): (
        "each unit has effects of its own. Pass units=, such as the persons of the rows."
    ),
    ((EFFECTS,), (FEATURES_OF_OUTPUTS, MISSING)): (
        "effects are those of outputs with the same features and rows. "
        "Use random_features=None, or one fit for each output."
    ),
    ((EFFECTS,), (FAMILY, CENSORED)): (
        "only of normal noise has the integral over the effects a closed form. Use "
        'family="normal", of log(y) for positive values, or random_features=None with units.'
    ),
    ((EFFECTS,), (MARKOV,)): (
        "rows that share effects do not only depend on the row before, so that the paths of "
        "regimes have no sum. Use one of both, such as random_features=[] with a regime for each "
        'unit, gate="softmax".'
    ),
    (
        (EFFECTS,),
        (ESTIMATORS, OWN_DENSITY, BASE, FULL, DISPERSIONS, AVERAGES, STREAM, TEST, DRAWN, "top_k"),
    ): (
        "effects are those of linear experts with noise of one variance, fitted to all rows. "
        'Use expert="linear" without it, or random_features=None.'
    ),
    (("time",), (BLOCKS,)): (
        "the rows of each unit are in the order of time there, and units whole in a block. "
        "Sort them, and leave time out."
    ),
    (("top_k",), (KNOWN_EXPERTS,)): (
        "the known expert of a row may not be among the most probable ones. "
        "Use a gate without top_k."
    ),
    ((SHARED, SLOPES, DISPERSIONS, SIGNS, FAMILY), (OWN_DENSITY,)): (
        'it has a density of its own. Use expert="linear", or leave that parameter out.'
    ),
    ((SHARED, SLOPES, DISPERSIONS, SIGNS), (ESTIMATORS,)): (
        'only linear experts have slopes. Use expert="linear", or options of the estimator, such '
        "as HistGradientBoostingRegressor(monotonic_cst=[1, 0])."
    ),
    ((ESTIMATORS,), (FAMILIES, "a family without a mean", CENSORED)): (
        'estimators predict the mean of one family of values. Use expert="linear", or one family '
        'that has a mean, such as "gamma".'
    ),
    ((SHARED, DISPERSIONS, SIGNS, SLOPES, CENSORED), (FULL,)): (
        'it needs outputs that are independent given the expert. Use covariance_type="diag".'
    ),
    ((FAMILIES, NOT_NORMAL, ESTIMATORS, OWN_DENSITY), (FULL,)): (
        "the matrix is that of linear experts with normal noise, or normal logarithms. "
        'Use covariance_type="diag", or expert="linear" and family="normal" or "lognormal".'
    ),
    ((DISPERSIONS,), ("families without a dispersion",)): (
        "there is no dispersion that could depend on features. "
        'Choose a family that has one, such as "negative_binomial" for counts.'
    ),
    (('dispersion="shared"',), (FAMILIES,)): (
        'a shared dispersion needs one family for all experts. Use dispersion="per_expert".'
    ),
    ((SIGNS,), ("more than two classes",)): (
        "signs are those of the log odds of two classes. "
        "Use two classes, such as one against all others."
    ),
    (('alpha="ard"',), (SHARED,)): (
        '"ard" finds a penalty for each feature in each expert. Use alpha="auto".'
    ),
    (
        (BASE,),
        (
            *("experts with neither an identity nor a log link", SIGNS, CENSORED),
            "estimators as experts under a log link",
        ),
    ): (
        "predictions of the base are added to means of numbers, or their logs to an offset. "
        'Use base=None, or expert="linear" with an identity or a log link.'
    ),
    ((ENTRY,), (MARKOV, "balance", OWN_DENSITY)): (
        "the likelihood is divided by the survival of the mixture until the entry. "
        'Use gate="softmax" or "constant", and expert="linear".'
    ),
    (("experts without probabilities of intervals",), (CENSORED,)): (
        "bounds of y need the distribution function of the family. "
        'Choose one that has it, such as family="weibull", "lognormal" or "normal".'
    ),
    ((OFFSET,), (NO_LOG_LINK,)): (
        'an offset needs experts with a log link, such as family="poisson". '
        "Choose such a family, subtract it from y under an identity link, or fit without offset."
    ),
    ((AVERAGES,), (NOT_OF_AVERAGES, BASE, CENSORED)): (
        "the mean of n values must have the same distribution, with the dispersion divided by n. "
        'Use family="normal", "gamma", "inverse_gaussian" or "tweedie", with base=None, '
        'covariance_type="diag" and y as numbers; for mean counts their sums, with '
        "offset=np.log(n)."
    ),
    ((ESTIMATORS, BASE), ("an offset of each output",)): (
        "estimators take an offset of shape (n_samples,), the same for all outputs. "
        'Use one fit for each output, or expert="linear" with base=None.'
    ),
    (("units",), ("predictions of Dask collections",)): (
        "chunks may cut a unit. Compute the rows of whole units first, or leave units out."
    ),
    (("groups",), ("parametric experts without a base",)): (
        "groups keep rows in one fold, and this fit has no folds. "
        'Leave groups out, or use them with n_experts="auto", a base or estimators as experts.'
    ),
    (("an exposure", "metadata"), ("experts that are no estimators",)): (
        "such experts take no metadata, and an exposure is an offset. Pass "
        "offset=np.log(exposure), leave metadata out, or use estimators as experts."
    ),
}


# --- the options of a fit ---------------------------------------------------------------------


def selects_number(n_experts: Any) -> bool:
    """Whether the fit selects the number of experts: by a criterion, or among candidates."""
    return isinstance(n_experts, Iterable) and getattr(n_experts, "shape", None) != ()


def is_for_each_expert(features: Any) -> bool:
    """Whether `expert_features` has a list of columns for each expert."""
    kinds = list | tuple | np.ndarray
    return isinstance(features, list | tuple) and any(isinstance(own, kinds) for own in features)


def listed(value: Any) -> list[Any]:
    """The entries of a value that is one for all experts, or a list with one for each."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _is_given(value: Any) -> bool:
    return value is not None


def _is(name: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value == name


def _has_density(expert: Any) -> bool:
    return not isinstance(expert, str) and (isinstance(expert, PARAMETRIC) or has_density(expert))


def _is_own(expert: Any) -> bool:
    kinds = EXPERTS.get(expert, {}).values() if isinstance(expert, str) else [type(expert)]
    return any(issubclass(kind, Experts) for kind in kinds)


def _is_estimator(expert: Any) -> bool:
    return not _has_density(expert) and not (isinstance(expert, str) and expert in EXPERTS)


def _any_expert(is_kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda expert: any(map(is_kind, listed(expert)))


# The options that are values of a parameter, and whether a value is the option. The families of a
# list, or of all experts, are values of "families".
OPTIONS: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    (SELECTION, "n_experts", selects_number),
    (LIST, "expert", lambda expert: isinstance(expert, list | tuple)),
    (OWN_DENSITY, "expert", _any_expert(_has_density)),
    (ESTIMATORS, "expert", _any_expert(_is_estimator)),
    (OWN_EXPERTS, "expert", _any_expert(_is_own)),
    ("a gate of your own", "gate", lambda gate: isinstance(gate, Gate)),
    (LIST, "family", lambda family: isinstance(family, list | tuple)),
    (FAMILY, "families", lambda families: families != NORMAL),
    (NOT_NORMAL, "families", lambda families: any(f.name not in JOINT_FAMILIES for f in families)),
    (FAMILIES, "families", lambda families: len(families) > 1),
    ("families without a dispersion", "families", lambda f: not any(o.has_dispersion for o in f)),
    ("a family without a mean", "families", lambda families: not families[0].takes_mean),
    ("top_k", "gate.top_k", _is_given),
    ("balance", "gate.balance", bool),
    (TRANSFORMER, "gate.transformer", _is_given),
    (MARKOV, "gate", persists),
    (BASE, "base", _is_given),
    ('alpha="ard"', "alpha", _is("ard")),
    (OUTCOMES, "family", lambda family: isinstance(family, Mapping)),
    (FEATURES_OF_OUTPUTS, "expert_features", lambda features: isinstance(features, Mapping)),
    (FEATURES_OF_OUTPUTS, "dispersion_features", lambda own: isinstance(own, Mapping)),
    (SLOPES, "expert_features", is_for_each_expert),
    (SHARED, "shared_features", _is_given),
    (SLOPES, "shared_features", lambda features: isinstance(features, Mapping)),
    (DISPERSIONS, "dispersion_features", _is_given),
    (SIGNS, "monotonic_cst", _is_given),
    ('dispersion="shared"', "dispersion", _is("shared")),
    (FULL, "covariance_type", _is("full")),
    (EFFECTS, "random_features", _is_given),
    ("class_weight", "class_weight", _is_given),
    ('class_weight="balanced"', "class_weight", _is("balanced")),
    (INIT, "init", lambda init: not isinstance(init, str)),
    ("warm_start=True", "warm_start", bool),
)

# The parameters of an estimator that can be such an option.
PARAMETERS_OF_OPTIONS = {parameter.split(".")[0] for _, parameter, _ in OPTIONS} - {"n_experts"}


class Choice(NamedTuple):
    """An option and its value, which are shown in messages only: that of objects takes time."""

    name: str
    value: Any

    def __str__(self) -> str:
        if isinstance(self.value, np.ndarray):
            return f"{self.name} as an array"
        return f"{self.name}={shown(self.value)}"


def chosen_options(estimator: Any, families: tuple[Family, ...] = ()) -> dict[str, Any]:
    """The options that the parameters of an estimator are, as messages show them.

    `families` are the valid families of its experts, if they are known.
    """
    chosen: dict[str, Any] = {}
    for option, parameter, is_option in OPTIONS:
        if parameter == "families":
            value, choice = families or None, Choice("family", getattr(estimator, "family", None))
        else:
            part, _, name = parameter.rpartition(".")
            value = getattr(getattr(estimator, part, None) if part else estimator, name, None)
            choice = Choice(parameter, value)
        if value is not None and is_option(value):
            chosen[option] = choice
    return chosen


def conflict_of(chosen: Mapping[str, Any]) -> str:
    """The message on the first conflict among options, with how it shows them; "" for none."""
    for (options, others), reason in CONFLICTS.items():
        for option, other in product(options, others):
            if option in chosen and other in chosen:
                return f"{chosen[option]!s} cannot be used with {chosen[other]!s}: {reason}"
    return ""


def check_conflicts(chosen: Mapping[str, Any]) -> None:
    """Raise ValueError if two of the options do not go together."""
    if message := conflict_of(chosen):
        raise ValueError(message)
