"""Penalties of gate and experts that maximise the evidence, found within EM.

A few iterations of EM with given penalties alternate with an update of the penalties from the
curvature at the current coefficients [1]_ [2]_. When the penalties have settled, EM runs to
convergence with the last ones. Then they are checked once more, since coefficients that EM has
moved far want other penalties. Between updates the penalised lower bound never falls.

Laplace's approximation of the evidence is poor where experts can separate the rows, such as those
of classes: their curvature vanishes. There the penalties that were found are compared with default
ones by the densities of rows that are left out.

The curvature is that of the expected log-likelihood of the complete data, as in the variational
treatment of mixtures of experts [2]_: the evidence is that of the rows divided among the experts by
their responsibilities.

References
----------
.. [1] D. J. C. MacKay (1992), "Bayesian interpolation", Neural Computation 4, 415-447.
.. [2] S. Waterhouse, D. MacKay and T. Robinson (1996), "Bayesian methods for mixtures of experts",
   Advances in Neural Information Processing Systems 8, 351-357.
.. [3] P. Craven and G. Wahba (1979), "Smoothing noisy data with spline functions", Numerische
   Mathematik 31, 377-403.
.. [4] H. Akaike (1969), "Fitting autoregressive models for prediction", Annals of the Institute of
   Statistical Mathematics 21, 243-247.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from skmoe._mixture.em import N_PLAIN_ITER, Objective, Observer, Run, em
from skmoe._mixture.mixture import EStep, Mixture
from skmoe._mixture.slopes import penalised_slopes
from skmoe._numerics.dispersion_prior import dispersion_gain, dispersion_prior, dispersion_volume
from skmoe._numerics.evidence import (
    Slopes,
    common_penalty,
    evidence_gain,
    feature_penalties,
    n_determined_slopes,
    posterior_volume,
)
from skmoe._numerics.probability import summed_over_experts
from skmoe._numerics.typing import TINY, Alpha, Array

# Iterations of EM before each update of the penalties.
ITERATIONS_BETWEEN_UPDATES = (3, 3, 4, 4, 5, 5, 6, 6, 8, 8, 10, 10)
FINAL_ROUND = len(ITERATIONS_BETWEEN_UPDATES)

# Penalties have settled if none has changed by more than this factor, or if the log evidence has
# changed by less than the tolerance of EM; the second factor is that after EM has converged. The
# log evidence can fall where the coefficients of EM are far from their maximum.
SETTLED_FACTOR = 1.15
FINAL_FACTOR = 1.3

# Largest share of the rows that coefficients count as, in the residuals of new rows.
MAX_USED_SHARE = 0.8

# Least degrees of freedom of the residuals of an expert, as a fraction of its rows.
MIN_FREEDOM = 0.1

# Log evidence per row by which other penalties must be better for a return to them. Smaller
# differences are within the errors of Laplace's approximation where experts have few rows.
MIN_LOSS = 0.1

# Largest number of runs to convergence.
MAX_FINAL_RUNS = 3


class Penalty(NamedTuple):
    """A penalty of gate or experts: the number that was chosen, and how another is found."""

    part: str  # "gate" or "experts"
    fields: tuple[str, ...]  # of the penalties of the part, the first for the number
    value: float  # where a search begins, and near which it stays on small data sets
    search: str = ""  # "auto", "ard" for one number for each feature, or "" without a search

    @property
    def is_of_scales(self) -> bool:
        """Whether it is the strength of the prior of scales, and not a penalty of slopes."""
        return "noise_variance" in self.fields


# --- the search -------------------------------------------------------------------------------


def search_penalties(
    objective: Objective,
    default: Mixture,
    penalties: Sequence[Penalty],
    theta: Array,
    limits: tuple[int, float],
    observer: Observer | None,
    lower_bounds: Sequence[float] = (),
) -> Run:
    """EM in stages between which the penalties are updated; `limits` are `max_iter` and `tol`.

    The search begins at the penalties of the objective, and stays near those of the default
    mixture. All stages together, with the iterations of the start, make at most `max_iter`
    iterations. It ends early if a run is stopped. A search that can drop features ends at penalties
    that it has left if their evidence was clearly higher: the evidence can fall if needed ones are
    dropped.
    """
    max_iter, tol = limits
    n_done, search_round, n_runs = len(lower_bounds), 0, 0
    # Mixture, coefficients and log evidence per row of the penalties with the highest so far.
    best: tuple[Mixture, Array, float] | None = None
    drops_features = any(penalty.search == "ard" for penalty in penalties)
    while True:
        is_final = search_round >= FINAL_ROUND
        n_iter = max_iter - n_done
        if not is_final:
            n_iter = min(n_iter, ITERATIONS_BETWEEN_UPDATES[search_round])
        # Iterations before an update are not extrapolated.
        own_tol, n_plain = (tol, N_PLAIN_ITER) if is_final else (0.0, n_iter)
        of_stage = {"n_earlier": n_done, "n_plain": n_plain, "n_fresh": 0}
        run = em(objective, theta, n_iter, own_tol, observer, **of_stage)
        n_done += len(run.lower_bounds)
        if run.stopped or run.failed or n_done >= max_iter:
            return run
        is_last = is_final and n_runs + 1 >= MAX_FINAL_RUNS
        if is_last and best is None:
            return run
        objective = objective._replace(mixture=run.mixture)
        state = objective.at(run.theta[None])
        update = updated_penalties(penalties, default, objective.mixture, state)
        least_factor = FINAL_FACTOR if is_final else SETTLED_FACTOR
        settled = update.factor < least_factor or abs(update.gain) < tol
        if is_last or (is_final and settled):
            if best is None or best[2] < update.log_evidence + MIN_LOSS:
                return run
            objective, theta, best = objective._replace(mixture=best[0]), best[1], None
            n_runs = MAX_FINAL_RUNS - 1
            continue
        if drops_features and (best is None or update.log_evidence > best[2]):
            best = update.before, run.theta, update.log_evidence
        n_runs += is_final
        search_round = FINAL_ROUND if settled or is_final else search_round + 1
        objective = objective._replace(mixture=update.mixture)
        theta = update.mixture.bounded(run.theta[None])[0]


# --- the criterion ----------------------------------------------------------------------------


class Update(NamedTuple):
    """The mixture with penalties that fit the coefficients better."""

    mixture: Mixture
    before: Mixture  # with the former penalties, for each feature if those found are
    gain: float  # of log evidence by the new penalties, per row
    log_evidence: float  # of the former penalties, per row and up to a constant
    factor: float  # the largest by which a penalty has changed


def updated_penalties(
    penalties: Sequence[Penalty], default: Mixture, mixture: Mixture, state: Any
) -> Update:
    """New penalties from the state at one vector, and the evidence before.

    The penalties of the default mixture count as a few coefficients of the data.
    """
    before, after, gain, largest = mixture, mixture, 0.0, 0.0
    total: EStep = state.total
    log_evidence = float(state.lower_bound[0] * total.weight)
    n_gate, vector = 0.0, state.theta[0]
    inverses = state.curvature.inverses
    for name in ("gate", "experts"):
        part, of_default = getattr(mixture, name), getattr(default, name)
        found: dict[str, Any] = {}
        slopes = penalised_slopes(mixture, part, vector, total, inverses)
        own = [penalty for penalty in penalties if penalty.part == name]
        own = [p for p in own if p.is_of_scales or p.fields[0] in slopes]  # else there are none
        theta = mixture.split(vector)[name == "gate"]
        if name == "gate" and "alpha" in slopes:
            n_gate = _n_determined(part.penalties["alpha"], slopes["alpha"])
        wanted = any("predictor_squares" in penalty.fields for penalty in own)
        # Without covariances the number of slopes that the data determine is not known.
        wanted = wanted and "noise_variance" in part.penalties and "alpha" in slopes
        if wanted and slopes["alpha"].covariances.ndim == 3:
            scales = part.scales(theta, total)
            found["predictor_squares"] = _predictor_squares(part, slopes["alpha"], scales)
        for penalty in own:
            if penalty.is_of_scales:
                scales = part.scales(theta, total)
                update = _update_of_scales(part, of_default, slopes.get("alpha"), scales, n_gate)
            else:
                update = _update_of_slopes(part, of_default, slopes, penalty)
            part, found = part.with_penalties(update.before), found | update.after
            gain, log_evidence = gain + update.gain, log_evidence + update.volume
            for pair in zip(update.before.values(), update.after.values(), strict=True):
                logs = (np.log(np.maximum(value, TINY)) for value in pair)
                largest = max(largest, float(np.abs(np.subtract(*logs)).max(initial=0.0)))
        before = before.with_part(name, part)
        after = after.with_part(name, part.with_penalties(found))
    weight = total.weight
    return Update(after, before, gain / weight, log_evidence / weight, float(np.exp(largest)))


def _n_determined(alpha: Alpha, slopes: Slopes) -> float:
    """Coefficients that the data determine: slopes, and the intercept of each system."""
    determined = n_determined_slopes(alpha, slopes)
    return float(determined.sum()) + len(determined)


class BlockUpdate(NamedTuple):
    """Another penalty of a block of coefficients, by the fields of the part."""

    before: dict[str, Any]  # one for each feature if those found are
    after: dict[str, Any]
    gain: float  # of log evidence
    volume: float  # of the posterior at the former penalty, in logs


def _update_of_slopes(
    part: Any, default: Any, slopes: dict[str, Slopes], penalty: Penalty
) -> BlockUpdate:
    """The penalty of a block of slopes: one number, or one for each feature."""
    field = penalty.fields[0]
    old, of_block = part.penalties[field], slopes[field]
    new: Alpha
    if penalty.search == "ard":
        if not isinstance(old, tuple):
            old = (float(old),) * of_block.values.shape[-1]
        new = feature_penalties(old, of_block)
    else:
        new = common_penalty(old, of_block, default.penalties[field])
    gain, volume = evidence_gain(old, new, of_block), posterior_volume(old, of_block)
    return BlockUpdate({field: old}, {field: new}, gain, volume)


def _update_of_scales(
    experts: Any, default: Any, slopes: Slopes | None, scales: Any, n_gate: float
) -> BlockUpdate:
    """Strength and scale of the prior of dispersions; experts without a scale have no part in it.

    `scales` and their rows are (K, m), from which `slopes` take degrees of freedom. Estimators have
    none: their residuals are those of rows left out. `n_gate` are coefficients of the gate.
    """
    squares, rows, determined = _sums_of_squares(experts, slopes, scales)
    has_scale = ~np.isnan(squares).any(axis=1)
    if experts.shared_dispersion:
        has_scale &= np.arange(len(rows)) == 0
    n_used = n_gate + (0.0 if slopes is None else (determined + 1.0)[has_scale].sum(axis=0))
    squares, rows, determined = (a[has_scale] for a in (squares, rows, determined))
    (strength, center), prior = (
        (part.penalties["dispersion_prior"], np.array(part.penalties["noise_variance"]))
        for part in (experts, default)
    )
    volume = dispersion_volume((strength, center), rows, prior)
    before = {"dispersion_prior": strength, "noise_variance": experts.penalties["noise_variance"]}
    if not rows.any():
        return BlockUpdate(before, before, 0.0, volume)
    freedom = np.maximum(rows - determined, MIN_FREEDOM * rows)
    found, scale = dispersion_prior(squares, freedom, prior)
    scale = _scale_of_new_rows(scale, n_used / rows.sum(axis=0), prior[1])
    gain = dispersion_gain((strength, center), (found, scale), squares, freedom, prior)
    after = {"dispersion_prior": found, "noise_variance": tuple(scale.tolist())}
    return BlockUpdate(before, after, gain, volume)


def _scale_of_new_rows(scale: Array, used: Array, of_one_model: Array) -> Array:
    """Scales of the prior, (m,), that residuals of new rows would give.

    With p coefficients for n rows, residuals of new rows are (n + p) / (n - p) times those of the
    fit, by Akaike's final prediction error [4]_; `used` is p / n. They are at most those of one
    model of all rows, which are known from rows left out. The smaller they are beside these, the
    less of the difference is explained by experts that choose rows which suit them, and the less is
    added. So the residuals of clearly separate regimes stay as they are.
    """
    share = np.minimum(used, MAX_USED_SHARE)
    factor = (1.0 + share) / (1.0 - share)
    of_new_rows = scale * factor ** np.minimum(scale * factor / np.maximum(of_one_model, TINY), 1.0)
    return np.maximum(np.minimum(of_new_rows, of_one_model), scale)


def _sums_of_squares(experts: Any, slopes: Slopes | None, scales: Any) -> tuple[Array, ...]:
    """Squares of the residuals, their number, and slopes that the data determine, (K, m).

    They are sums over the experts where these share a scale.
    """
    scale, rows = scales
    strength, center = (
        experts.penalties["dispersion_prior"],
        np.array(experts.penalties["noise_variance"]),
    )
    determined = np.zeros(rows.shape)
    if slopes is not None:
        found = n_determined_slopes(experts.penalties["alpha"], slopes)
        np.add.at(determined, tuple(experts.slope_owners), found)
    if experts.shared_dispersion:
        rows, determined = map(summed_over_experts, (rows, determined))
    # A scale is the mode (squares + strength * center) / (rows + strength).
    squares = np.maximum((rows + strength) * scale - strength * center, 0.0)
    return squares, rows, determined


def _predictor_squares(experts: Any, slopes: Slopes, scales: Any) -> Array:
    """Squares that the uncertainty of the slopes adds to those of the residuals.

    With S squares of n rows, of which the slopes and the intercept take g, the variance of the
    noise is near S / n, as S has the penalty of the slopes. About the fitted mean that of a new row
    is S / (n - g), by generalised cross-validation [3]_.
    """
    squares, rows, determined = _sums_of_squares(experts, slopes, scales)
    freedom = np.maximum(1.0 - (determined + 1.0) / np.maximum(rows, TINY), MIN_FREEDOM)
    return np.nan_to_num(squares * (1.0 / freedom - 1.0))  # nothing without a scale
