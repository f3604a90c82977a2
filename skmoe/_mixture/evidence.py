"""Penalties of gate and experts that maximise the evidence, found within EM.

A few iterations of EM with given penalties alternate with an update of the penalties from the
curvature at the current coefficients [1]_ [2]_. When the penalties have settled, EM runs to
convergence with the last ones. Then they are checked once more, since coefficients that EM has
moved far want other penalties. Between updates the penalised lower bound never falls.

Laplace's approximation of the evidence is poor where experts can separate the rows, such as those
of classes: their curvature vanishes. There the penalties that were found are compared with default
ones by the densities of rows that are left out.

The curvature is that of the expected log-likelihood of the complete data, as in the variational
treatment of mixtures of experts [2]_. The evidence is that of the rows divided among the experts by
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

from skmoe._mixture.em import N_PLAIN_ITER, Objective, Pace, Run, State, em
from skmoe._mixture.experts import PENALTY_OF_ROLE
from skmoe._mixture.mixture import GATE_ROLE, MEAN, Mixture
from skmoe._numerics import evidence as evidence_numerics
from skmoe._numerics.evidence import Slopes
from skmoe._numerics.linalg import inverse_of
from skmoe._numerics.probability import is_collapsed, summed_over_experts
from skmoe._numerics.typing import TINY, Array

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

# Least scale of a prior, as that of a constant output, by which squares can be divided.
MIN_SCALE = 1e-150

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


# --- the search -------------------------------------------------------------------------------


def search_penalties(
    objective: Objective,
    default: Mixture,
    penalties: Sequence[Penalty],
    start: Run,
    limits: tuple[int, float],
    is_trial: bool = False,
) -> Run:
    """EM in stages between which the penalties are updated.

    The search goes on from a run. It begins at the penalties of the objective, and stays near those
    of the default mixture. The limits are the most iterations of all stages together, with those of
    the start, and the tolerance. It ends early if a run is stopped. A search that can drop features
    ends at penalties that it has left if their evidence was clearly higher: the evidence can fall
    if needed ones are dropped. A trial runs to convergence once, and ends where an expert
    collapses.
    """
    max_iter, tol = limits
    n_final_runs = 1 if is_trial else MAX_FINAL_RUNS
    theta, n_done, search_round, n_runs = start.theta, start.n_iter, 0, 0
    total = None
    # Mixture, coefficients and log evidence per row of the penalties with the highest so far.
    best: tuple[Mixture, Array, float] | None = None
    drops_features = any(penalty.search == "ard" for penalty in penalties)
    if drops_features:
        mixture = _with_penalties_of_features(objective.mixture, penalties)
        objective = objective._replace(mixture=mixture)
    while True:
        is_final = search_round >= FINAL_ROUND
        most = max_iter if is_final else ITERATIONS_BETWEEN_UPDATES[search_round]
        n_iter = min(max_iter - n_done, most)
        # Iterations before an update are not extrapolated.
        own_tol, n_plain = (tol, N_PLAIN_ITER) if is_final else (0.0, n_iter)
        begun = Run(theta, [], n_earlier=n_done, total=total)
        run = em(objective, begun, n_iter, own_tol, Pace(n_plain, n_fresh=0))
        n_done += len(run.lower_bounds)
        if run.stopped or run.failed or n_done >= max_iter:
            return run
        is_last = is_final and n_runs + 1 >= n_final_runs
        if is_last and best is None:
            return run
        objective = objective._replace(mixture=run.mixture)
        state = objective.at(run.theta[None])
        if is_trial and is_collapsed(state.total.counts[:, 0]).any():
            return run
        update = updated_penalties(penalties, default, state)
        least_factor = FINAL_FACTOR if is_final else SETTLED_FACTOR
        settled = update.factor < least_factor or abs(update.gain) < tol
        if is_last or (is_final and settled):
            if best is None or best[2] < update.log_evidence + MIN_LOSS:
                return run
            objective, theta, best = objective._replace(mixture=best[0]), best[1], None
            total = None
            n_runs = n_final_runs - 1
            continue
        if drops_features and (best is None or update.log_evidence > best[2]):
            best = run.mixture, run.theta, update.log_evidence
        n_runs += is_final
        search_round = FINAL_ROUND if settled or is_final else search_round + 1
        objective = objective._replace(mixture=update.mixture)
        theta = update.mixture.bounded(run.theta[None])[0]
        is_same = not objective.mixture.own and np.array_equal(theta, run.theta)
        total = state.total if is_same else None


def _with_penalties_of_features(mixture: Mixture, penalties: Sequence[Penalty]) -> Mixture:
    """The mixture with a penalty for each feature where these are to be found."""
    for penalty in penalties:
        part = getattr(mixture, penalty.part)
        roles = [block.role for block in part.blocks] if penalty.search == "ard" else []
        for role in {GATE_ROLE, MEAN}.intersection(roles):
            where = part.blocks[roles.index(role)].where
            n_features = where.stop - where.start - 1
            of_features = np.broadcast_to(part.penalties["alpha"], n_features)
            part = part.with_penalties({"alpha": tuple(of_features.tolist())})
            mixture = mixture.with_parts(**{penalty.part: part})
    return mixture


# --- the criterion ----------------------------------------------------------------------------


class Update(NamedTuple):
    """The mixture with penalties that fit the coefficients better."""

    mixture: Mixture
    gain: float  # of log evidence by the new penalties, per row
    log_evidence: float  # of the former penalties, per row and up to a constant
    factor: float  # the largest by which a penalty has changed


def updated_penalties(penalties: Sequence[Penalty], default: Mixture, state: State) -> Update:
    """New penalties from the state at one vector, and the evidence before.

    The penalties of the default mixture count as a few coefficients of the data.
    """
    mixture, weight = state.mixture, state.total.weight
    slopes = penalised_slopes(state)
    gain, log_evidence = 0.0, float(state.lower_bound[0] * weight)
    found: dict[str, dict[str, Any]] = {"gate": {}, "experts": {}}
    for name, (field, *_), _, search in penalties:
        own = slopes.get((name, field))
        if own is None:  # the prior of dispersions, or slopes that a part has not
            continue
        old = getattr(mixture, name).penalties[field]
        if search == "ard":
            new: Any = evidence_numerics.feature_penalties(old, own)
        else:
            center = getattr(default, name).penalties[field]
            new = evidence_numerics.common_penalty(old, own, center)
        evidence = evidence_numerics.evidence_of_penalty(old, new, own)
        gain, log_evidence = gain + evidence[0], log_evidence + evidence[1]
        found[name][field] = new
    fields = {field for penalty in penalties for field in penalty.fields}
    of_scales = fields & {"dispersion_prior", "predictor_squares"}
    if of_scales and "noise_variance" in mixture.experts.penalties:
        changes, *of_changes = _update_of_scales(fields, default.experts, state, slopes)
        gain, log_evidence = gain + of_changes[0], log_evidence + of_changes[1]
        found["experts"] |= changes
    largest, changed = 0.0, dict[str, Any]()
    for name, changes in found.items():
        part = getattr(mixture, name)
        for field in changes.keys() - {"predictor_squares"}:
            logs = [np.log(np.maximum(v, TINY)) for v in (part.penalties[field], changes[field])]
            largest = max(largest, float(np.abs(logs[1] - logs[0]).max(initial=0.0)))
        changed |= {name: part.with_penalties(changes)} if changes else {}
    mixture = mixture.with_parts(**changed) if changed else mixture
    return Update(mixture, gain / weight, log_evidence / weight, float(np.exp(largest)))


def _update_of_scales(
    fields: set[str], default: Any, state: State, slopes: dict[tuple[str, str], Slopes]
) -> tuple[dict[str, Any], float, float]:
    """New penalties of scales, the gain of log evidence by them, and the evidence before.

    Squares of residuals, their number and the slopes that the data determine are (K, m), summed
    over experts that share a scale. Estimators have no slopes: their residuals are those of rows
    left out. Experts without a scale have no part in the prior.
    """
    experts, own = state.mixture.experts, slopes.get(("experts", "alpha"))
    scale, rows = experts.scales(state.theta[0], state.total)
    before = experts.penalties["dispersion_prior"], *experts.penalties["noise_variance"]
    determined, n_used, found = np.zeros(rows.shape), 0.0, {}
    if own is not None:
        of_systems = evidence_numerics.n_determined_slopes(experts.penalties["alpha"], own)
        np.add.at(determined, tuple(experts.slope_owners), of_systems)
    if experts.shared_dispersion:
        rows, determined = map(summed_over_experts, (rows, determined))
    # A scale is the mode (squares + strength * center) / (rows + strength).
    squares = np.maximum((rows + before[0]) * scale - before[0] * np.array(before[1:]), 0.0)
    # Without matrices the number of slopes that the data determine is not known.
    if "predictor_squares" in fields and own is not None and own.covariances.ndim == 3:
        # With S squares of n rows, of which the slopes and the intercept take g, the variance of
        # the noise is near S / n, as S has the penalty of the slopes. About the fitted mean that of
        # a new row is S / (n - g), by generalised cross-validation [3]_.
        freedom = np.maximum(1.0 - (determined + 1.0) / np.maximum(rows, TINY), MIN_FREEDOM)
        found["predictor_squares"] = np.nan_to_num(squares * (1.0 / freedom - 1.0))
        if experts.prior.joint:
            products = experts.prior.products(state.theta[0], found["predictor_squares"])
            found["predictor_squares"] = products
    if "dispersion_prior" not in fields:
        return found, 0.0, 0.0
    is_used = ~np.isnan(squares).all(axis=0)  # outputs with a scale
    has_scale = ~np.isnan(squares[:, is_used]).any(axis=1)
    if experts.shared_dispersion:
        has_scale &= np.arange(len(rows)) == 0
    kept = np.ix_(has_scale, is_used)
    squares, rows, determined = squares[kept], rows[kept], determined[kept]
    if ("gate", "alpha") in slopes:  # slopes, and the intercept of each system
        alpha = state.mixture.gate.penalties["alpha"]
        n_used = (evidence_numerics.n_determined_slopes(alpha, slopes["gate", "alpha"]) + 1.0).sum()
    if own is not None:
        n_used = n_used + (determined + 1.0).sum(axis=0)
    prior = default.penalties["dispersion_prior"], *default.penalties["noise_variance"]
    least = np.append(evidence_numerics.MIN_STRENGTH, np.full(len(prior) - 1, MIN_SCALE))
    old, center = np.log(np.maximum([before, prior], least))[:, np.append(True, is_used)]
    # The log posterior of the variances at their modes is zero where these are 1 / e.
    squares_of_unit = (rows + np.exp(old[0])) / np.e - np.exp(old[0] + old[1:])
    log_evidence = evidence_numerics.log_evidence_of_prior(old, squares_of_unit, rows, center)[0]
    if not rows.any():
        return found, 0.0, log_evidence
    freedom = np.maximum(rows - determined, MIN_FREEDOM * rows)
    new = evidence_numerics.dispersion_prior(squares, freedom, center, old)
    # With p coefficients for n rows, residuals of new rows are (n + p) / (n - p) times those of the
    # fit, by Akaike's final prediction error [4]_. They are at most those of one model of all rows,
    # which are known from rows left out. The smaller they are beside these, the less of the
    # difference is explained by experts that choose rows which suit them, and the less is added. So
    # the residuals of clearly separate regimes stay as they are.
    scale, of_one_model = np.exp(new[1:]), np.array(prior[1:])[is_used]
    share = np.minimum(n_used / rows.sum(axis=0), MAX_USED_SHARE)
    factor = (1.0 + share) / (1.0 - share)
    scales = scale * factor ** np.minimum(scale * factor / np.maximum(of_one_model, TINY), 1.0)
    scales = np.maximum(np.minimum(scales, of_one_model), scale)
    new[1:] = np.log(np.maximum(scales, MIN_SCALE))
    given = squares, freedom, center
    gain, of_old = (evidence_numerics.log_evidence_of_prior(x, *given)[0] for x in (new, old))
    noise = np.array(before[1:])
    noise[is_used] = scales
    found |= {"dispersion_prior": float(np.exp(new[0])), "noise_variance": tuple(noise.tolist())}
    return found, gain - of_old, log_evidence


# --- slopes -----------------------------------------------------------------------------------


def penalised_slopes(state: State) -> dict[tuple[str, str], Slopes]:
    """The slopes of gate and experts at one vector, by the part and the name of the penalty.

    They are in units of the prior, and in the order of the coefficients. A slope that experts share
    has an equal part in each of them, and the rows of all determine its gradient. The posterior of
    one that is held at a bound, or absent, is its prior.
    """
    mixture, theta, total = state.mixture, state.theta[0], state.total
    prior, experts, inverses = mixture.prior, mixture.experts, state.curvature.inverses
    gradient = total.gradient[0] - prior.derivatives(theta)[0]
    share, known = np.ones(mixture.size), (mixture.signs != 0.0) & (theta == 0.0)
    gradient[known] = 0.0
    if mixture.is_tied:
        is_absent, n_equal = mixture.free < 0, np.bincount(mixture.free + 1)[mixture.free + 1]
        share, known = np.where(is_absent, 0.0, 1.0 / n_equal), known | is_absent
        gradient = np.where(known, 0.0, share * mixture.expanded(mixture.reduced(gradient)))
        inverses = [inverses[0]] * len(experts.groups) + inverses[1:]
    noise = np.ones(mixture.size)  # part of each scale
    if experts.is_linear:
        has_scale = experts.scale_index >= 0
        shares = experts.noise_shares(theta, total)
        noise[experts.scale_index[has_scale]] = shares[has_scale]
    if prior.joint:
        theta, gradient = prior.independent(theta, gradient, noise)
    found: dict[tuple[str, str], list[tuple[Array, ...]]] = {}
    for group, inverse in zip(mixture.groups, inverses, strict=True):
        name = "gate" if group in mixture.gate_groups else "experts"
        is_tied, held = mixture.is_tied and name == "experts", known[group.coordinates]
        if held.any() and not is_tied:
            curvature = np.where(held[:, :, None] | held[:, None], 0.0, inverse.matrix[:, 0])
            curvature = curvature + held[:, None] * np.eye(held.shape[1])
            inverse = inverse._replace(inverse=inverse_of(curvature)[:, None])
        for role, index, where in zip(group.roles, group.index, group.slices, strict=True):
            index, where = index[:, :-1], slice(where.start, where.stop - 1)
            if role not in PENALTY_OF_ROLE or not index.size:
                continue
            scale, precision = prior.scale[index[:, :1]], prior.precision[index]
            unit = np.exp(-np.where(scale < 0, 0.0, theta[scale]))
            if is_tied:
                own = np.maximum(mixture.free[index], 0)
                covariances = inverse.inverse[0, 0][own[:, :, None], own[:, None]] * unit[..., None]
            elif inverse.inverse is None:
                covariances = inverse.variances()[:, 0, where] * unit
            else:
                covariances = inverse.inverse[:, 0, where, where] * unit[..., None]
            if is_tied or held.any():
                own, part = known[index], np.where(share[index] > 0.0, share[index], 1.0)
                covariances = covariances / np.sqrt(part[:, :, None] * part[:, None])
                covariances = np.where(own[:, :, None] | own[:, None], 0.0, covariances)
                variances = own * part / np.maximum(precision, TINY)
                covariances = covariances + variances[:, None] * np.eye(own.shape[1])
            # Of the likelihood: that with the penalty, which is added again.
            slope = gradient[index] / unit + precision * theta[index]
            root = np.sqrt(unit / np.where(scale < 0, 1.0, noise[scale]))
            own = index[:, 0], theta[index] * root, covariances, slope * root, share[index]
            found.setdefault((name, PENALTY_OF_ROLE[role]), []).append(own)
    slopes = {}
    for key, of_groups in found.items():
        first, *fields = map(np.concatenate, zip(*of_groups, strict=True))
        slopes[key] = Slopes(*(field[np.argsort(first)] for field in fields))
    return slopes
