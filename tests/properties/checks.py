"""What holds for every estimator and table: a clear refusal, or a fit that keeps all promises."""

import inspect
import pickle
import re
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.linalg import LinAlgWarning
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from properties.random_cases import FRAMES, SPARSE, Draw, make_case
from skmoe import exceptions
from skmoe.inspection import export_mermaid, export_text
from support.fits import is_routed

# Classes of the warnings that the documentation names.
DOCUMENTED = {*exceptions.__all__, "ConvergenceWarning"}

# Errors of scikit-learn's validation of its inputs.
STANDARD = (
    r"Found array with \d+ (sample|feature)",
    r"Input (X|y|sample_weight) contains (NaN|infinity)",
    r"Found input variables with inconsistent numbers of samples",
    r"X has \d+ features, but",
    r"The feature names should match",
    r"Expected 2D array, got 1D array instead",
    r"This \w+ estimator requires y to be passed",
)

# Names of arguments of methods, with which a refusal may begin besides constructor parameters.
ARGUMENTS = ("X", "y", "sample_weight", "units", "known_experts", "classes")
ARGUMENTS += ("partial_fit",)

# Shares of experts that differ by less, relative to the larger, may be in any order.
SHARE_RTOL = 1e-3

# How far a lower bound may fall by round-off, for one iteration and per row, also of sums of
# features in single precision.
ROUND_OFF, ROUND_OFF_OF_SINGLE = 1e-8, 1e-7


class RefusedError(Exception):
    """An estimator or table was refused by a clear error."""


def check(seed):
    """Check the case of a seed; return whether it was fitted and not refused."""
    case = make_case(seed)
    draw = Draw([seed, 1])
    try:
        moe = fit(case)
        for holds in ALWAYS:
            holds(case, moe)
        for index in draw.rng.permutation(len(PROPERTIES))[:4]:
            PROPERTIES[index](case, moe, draw)
    except RefusedError:
        return False
    except Exception as error:
        raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}\n{case}") from error
    return True


# --- fits, refusals and warnings ----------------------------------------------------------------


def is_clear(error, estimator):
    """Whether an error begins with the name of a parameter, or is one of scikit-learn's own."""
    names = (*inspect.signature(type(estimator)).parameters, *ARGUMENTS)
    begins = re.match(rf"(Column \d of )?({'|'.join(map(re.escape, names))})\b", str(error))
    return isinstance(error, ValueError | TypeError) and bool(
        begins or any(re.match(pattern, str(error)) for pattern in STANDARD)
    )


def documented(action, *args, **options):
    """The result of an action that gives no other warnings than documented ones, to its caller."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = action(*args, **options)
    for warning in caught:
        name = warning.category.__name__
        own = issubclass(warning.category, LinAlgWarning | ConvergenceWarning)
        if own and "sklearn" in warning.filename:
            continue  # of an estimator that was given as an expert or a base
        assert name in DOCUMENTED, f"{name}: {warning.message}"
        assert warning.filename == __file__, f"a warning points at {warning.filename}"
    return result


def numbers_of(y):
    """A number for each value of y, also where it is missing, or only bounds of it are known."""
    if y.dtype.names is None:
        return np.nan_to_num(y) if y.dtype.kind == "f" else y
    return np.where(np.isfinite(y["lower"]), y["lower"], y["upper"])


def fit(case, estimator=None):
    """The fitted mixture, or `RefusedError`, after which nothing is fitted."""
    moe = clone(case.estimator if estimator is None else estimator)
    before = set(vars(moe))
    try:
        return documented(moe.fit, case.X, case.y, **case.given)
    except (ValueError, TypeError) as error:
        if not is_clear(error, moe):
            raise
        assert set(vars(moe)) == before, "a refused fit leaves attributes"
        raise RefusedError(str(error)) from error


def outputs(case, moe):
    """All that a mixture predicts for the rows of a case, (n_samples, n_values)."""
    X, given = case.X, case.of_predictions
    means = moe.predict_proba(X, **given) if case.task == "classifier" else moe.predict(X, **given)
    return np.column_stack([means.reshape(len(means), -1), moe.predict_gate(X, **given)])


def seen(case, moe):
    """The rows whose target can be scored: those of classes that had rows of positive weight."""
    if case.task == "regressor":
        return case
    return case.take(np.flatnonzero(np.isin(case.y, moe.classes_)))


# Traits of tables whose sums lose many digits.
ILL_CONDITIONED = {"collinear columns", "nearly collinear columns", "outlier", "heavy tails"}
ILL_CONDITIONED |= {"scales", "offset", "y: outlier", "y: noise", "scale of y"}


def is_well_conditioned(case):
    """Whether round-off stays small: features and targets of one scale, penalties, enough rows.

    "auto" leaves out rows by their positions, and responsibilities belong to rows.
    """
    moe = case.estimator
    enough = isinstance(moe.n_experts, int) and 10 * moe.n_experts <= len(case.y)
    penalised = all(v is None or v >= 1e-3 for v in (moe.alpha, moe.gate_alpha))
    plain = not ILL_CONDITIONED & set(case.traits) and case.family is not None
    # Copies of a row are at the same time, and those of a unit are rows of the same unit.
    plain &= "time" in case.given or not case.is_series
    plain &= "units" not in case.given or case.weight is None
    return plain and enough and penalised and isinstance(moe.init, str)


def equivalent_fit(one, other, case):
    """Two fits to the same weighted rows agree to round-off, which EM may multiply.

    Starts whose bounds differ by round-off may win in turn, so that outputs are compared where
    there is one start.
    """
    assert_allclose(one.lower_bound_, other.lower_bound_, rtol=1e-6, atol=1e-6)
    if one.n_init == 1 and one.n_iter_ == other.n_iter_:
        scale = max(1.0, np.abs(outputs(case, one)).max())
        assert_allclose(outputs(case, one), outputs(case, other), rtol=0.0, atol=1e-5 * scale)


# --- properties of every fit ----------------------------------------------------------------------


def bounds_never_fall(case, moe):
    round_off = ROUND_OFF_OF_SINGLE if case.container == "float32" else ROUND_OFF
    for trace in (moe.lower_bounds_, *moe.start_traces_):
        assert np.isfinite(trace).all()
        falls = -np.diff(trace, prepend=trace[:1]) / np.maximum(np.abs(trace), 1.0)
        assert falls.max() <= round_off, f"the lower bound falls by {falls.max():g}"
    assert moe.lower_bound_ == moe.lower_bounds_[-1]
    assert moe.n_iter_ <= case.estimator.max_iter


def numbers_are_finite(case, moe):
    assert np.isfinite(outputs(case, moe)).all()
    rows = seen(case, moe)
    assert np.isfinite(moe.score_samples(rows.X, rows.y, **rows.given)).all()
    names = ["expert_coef_", "expert_intercept_", "gate_coef_", "gate_intercept_"]
    for name in (*names, "weights_"):
        assert np.isfinite(getattr(moe, name, 0.0)).all(), name
    if case.family is not None and hasattr(moe, "noise_variance_"):
        noise = moe.noise_variance_[~np.isnan(moe.noise_variance_)]  # of outcomes that have noise
        assert np.isfinite(noise).all()
        assert (noise > 0).all()
        assert len(noise)


def slopes_have_their_signs(case, moe):
    if moe.monotonic_cst is not None:
        assert (np.array(moe.monotonic_cst) * moe.expert_coef_ >= 0.0).all()


def shares_fall(case, moe):
    """Experts are numbered by their shares, unless the user has given something for each."""
    is_numbered = "known_experts" in case.given
    if is_numbered or isinstance(moe.expert, list) or not isinstance(moe.init, str):
        return
    share = moe.weights_
    assert (share <= np.minimum.accumulate(share) / (1.0 - SHARE_RTOL)).all(), share


def probabilities_sum_to_one(case, moe):
    single, rows = case.container == "float32", seen(case, moe)
    gate = moe.predict_gate(case.X, **case.of_predictions)
    resp = moe.responsibilities(rows.X, rows.y, **rows.given)
    if "units" in case.given and not case.is_series:
        present = np.ones(len(rows.y), bool) if rows.weight is None else rows.weight > 0
        assert_array_equal(resp.labels, np.unique(rows.given["units"][present]))
        if isinstance(getattr(moe, "family", None), dict):  # without an outcome units do not count
            present &= ~np.isnan(rows.y).all(axis=1)
        n_units = len(np.unique(rows.given["units"][present]))
        assert len(rows.y) < len(case.y) or moe.n_units_ == n_units
        resp = resp.proba
    probs = [gate, resp, moe.weights_[None]]
    if hasattr(moe, "predict_proba"):
        probs.append(moe.predict_proba(case.X, **case.of_predictions))
    for values in probs:
        assert (values >= 0).all()
        # Estimators return probabilities in the precision of the features.
        assert_allclose(values.sum(axis=1), 1.0, rtol=1e-6 if single else 1e-9)
    if is_routed(case.estimator):
        assert (gate > 0).sum(axis=1).max() <= case.estimator.gate.top_k


def known_rows_are_of_their_experts(case, moe):
    rows = seen(case, moe)
    known = rows.given.get("known_experts", np.full(len(rows.y), -1))
    given = known >= 0 if rows.weight is None else (known >= 0) & (rows.weight > 0)
    if given.any():
        n_experts = case.estimator.n_experts
        resp = moe.responsibilities(rows.X, rows.y, known_experts=known)
        of_experts = np.add.reduce(np.split(resp, resp.shape[1] // n_experts, axis=1))
        assert_allclose(of_experts[given], np.eye(n_experts)[known[given]], atol=1e-9)


ALWAYS = (
    bounds_never_fall,
    numbers_are_finite,
    probabilities_sum_to_one,
    shares_fall,
    slopes_have_their_signs,
    known_rows_are_of_their_experts,
)


# --- properties of some fits ----------------------------------------------------------------------


def assert_refusal_changes_nothing(moe, action, case):
    """The attributes of a mixture stay, if rows are refused."""
    state = pickle.dumps(vars(moe))
    with pytest.raises(ValueError, match=r"Found input|y"):
        action(case.X, case.y[:-1])
    assert pickle.dumps(vars(moe)) == state


def refits_and_copies_are_the_same(case, moe, draw):
    assert_refusal_changes_nothing(moe, partial(moe.fit, **case.given), case)
    for other in (fit(case), pickle.loads(pickle.dumps(moe))):
        assert_array_equal(other.lower_bounds_, moe.lower_bounds_)
        assert_array_equal(outputs(case, other), outputs(case, moe))


def copies_in_any_order_are_weights(case, moe, draw):
    if is_well_conditioned(case):
        rows, given = np.arange(len(case.y)), case.given
        if case.weight is not None and case.weight.dtype.kind == "i":
            rows, given = np.repeat(rows, case.weight), case.of_rows
        copies = replace(case, given=given).take(draw.rng.permutation(rows))
        equivalent_fit(fit(copies), moe, case)


def distributions_agree_with_predictions(case, moe, draw):
    given = case.of_predictions
    if case.task == "classifier":
        proba = moe.predict_proba(case.X, **given)
        assert_array_equal(moe.predict(case.X, **given), moe.classes_[proba.argmax(axis=1)])
        return
    if case.family is None or not hasattr(case.family, "components"):
        return
    distribution, mean = moe.predict_dist(case.X, **given), moe.predict(case.X, **given)
    scale = max(np.abs(mean).max(), np.abs(numbers_of(case.y)).max(), 1e-300)
    round_off = 1e-5 if case.container == "float32" else 1e-9
    assert_allclose(distribution.mean / scale, mean / scale, rtol=0.0, atol=round_off)
    assert (distribution.std >= 0).all()
    interval = moe.predict_interval(case.X, 0.5, **given)
    quantiles = moe.predict_quantile(case.X, [0.25, 0.5, 0.75], **given)
    assert np.isfinite(interval).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert_array_equal(interval, quantiles[:, [0, 2]])
    probability = distribution.cdf(numbers_of(case.y))
    assert ((probability >= 0) & (probability <= 1)).all()
    draws = moe.sample(case.X, n_samples=2, random_state=0, **given)
    assert_array_equal(draws, moe.sample(case.X, n_samples=2, random_state=0, **given))
    assert np.isfinite(draws).all()


def descriptions_are_written(case, moe, draw):
    rows = seen(case, moe)
    summary = documented(moe.summary, rows.X, rows.y, **rows.given)
    assert "nan" not in str(documented(moe.summary)), "nan in the summary"
    assert str(summary)
    assert export_text(moe)
    assert export_mermaid(moe)
    assert moe._repr_html_()
    explanation = moe.explain(case.X, **case.of_predictions)
    assert_array_equal(explanation.gate, moe.predict_gate(case.X, **case.of_predictions))
    for name, values in explanation.items():
        assert np.isfinite(values).all(), name
    if case.family is not None:
        for criterion in (moe.aic, moe.bic, moe.icl):
            assert np.isfinite(criterion(rows.X, rows.y, **rows.given))
        assert moe.n_parameters_ > 0


def warm_starts_gain(case, moe, draw):
    """But for estimators as experts, which are fitted anew to the responsibilities before.

    With given responsibilities copies of a row can be in several folds of the noise and of a base.
    """
    moe = case.estimator
    if isinstance(moe.n_experts, int) and isinstance(moe.init, str) and case.family is not None:
        options = {"warm_start": True, "max_iter": 3}
        warm = fit(case, clone(case.estimator).set_params(**options))
        bound = warm.lower_bound_
        documented(warm.fit, case.X, case.y, **case.given)
        round_off = ROUND_OFF_OF_SINGLE if case.container == "float32" else ROUND_OFF
        assert warm.lower_bound_ >= bound - round_off * max(1.0, abs(bound))


def streams_keep_their_promises(case, moe, draw):
    if case.container in FRAMES + SPARSE or not hasattr(clone(case.estimator), "partial_fit"):
        return
    n_batches = draw.one(2, 3, 5)
    order = draw.rng.permutation(len(case.y))
    batches = [case.take(rows) for rows in np.array_split(order, n_batches) if len(rows)]
    first, second = clone(case.estimator), clone(case.estimator)
    for batch in batches:
        learn(case, first, batch)
        learn(case, second, batch)
        if not hasattr(first, "n_features_in_"):
            return  # too few rows to begin
        assert_refusal_changes_nothing(first, first.partial_fit, batch)
        second = pickle.loads(pickle.dumps(second))
    assert_array_equal(outputs(case, first), outputs(case, second))
    assert np.isfinite(outputs(case, first)).all()
    assert np.isfinite(first.lower_bound_)
    assert_allclose(first.predict_gate(case.X).sum(axis=1), 1.0, rtol=1e-9)


def learn(case, moe, batch):
    """A batch of a stream; one that is refused is skipped."""
    options = {"sample_weight": batch.weight}
    if case.task == "classifier":
        options["classes"] = np.unique(case.y)
    try:
        documented(moe.partial_fit, batch.X, batch.y, **options)
    except (ValueError, TypeError) as error:
        if not is_clear(error, moe):
            raise


PROPERTIES = (
    refits_and_copies_are_the_same,
    copies_in_any_order_are_weights,
    distributions_agree_with_predictions,
    descriptions_are_written,
    warm_starts_gain,
    streams_keep_their_promises,
)
