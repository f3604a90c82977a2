"""Likelihood ratios of K against K + 1 experts, of data and of targets drawn from the K experts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.row_checks import class_codes
from skmoe._estimators.methods.refits import draw_target
from skmoe._estimators.parameters.penalty_parameters import check_penalties
from skmoe._estimators.rows.training_data import TrainingData
from skmoe._estimators.selection.n_experts import (
    IncrementalFitter,
    responsibilities_of_rows,
    rows_for,
)
from skmoe._inference.monte_carlo import Replicate
from skmoe._numerics.typing import Array

# Log-likelihood that EM may leave to be gained, if `tol` times the number of rows is more. Smaller
# differences of log-likelihoods count as none.
MAX_MISSING_LIKELIHOOD = 0.02


# Searches for K + 1 experts with at least the likelihood of K; the second has twice the starts.
MAX_SEARCHES = 2


class Candidate(NamedTuple):
    """A fit and its log-likelihood, without penalties."""

    estimator: Any
    log_likelihood: float


class LikelihoodRatio(NamedTuple):
    """Log-likelihoods of K and of K + 1 experts, and twice their difference."""

    log_likelihoods: tuple[float, float]
    statistic: float
    is_failed: bool  # whether no fit of K + 1 experts has the likelihood of K
    converged: bool


class LikelihoodRatioTest:
    """Fits of K and of K + 1 experts for the test, by a validated estimator.

    Of several starts the one with the largest likelihood is kept, not the one with the largest
    lower bound. Under penalties the latter may be a fit in which an expert has no rows, with the
    likelihood of fewer experts.
    """

    def __init__(self, estimator: Any, n_experts: int, n_rows: int) -> None:
        self.n_experts = n_experts
        self.estimator_type = type(estimator)
        tol = min(estimator.tol, MAX_MISSING_LIKELIHOOD / n_rows)
        changed = {"combine": "best", "warm_start": False, "verbose": 0, "n_jobs": 1, "tol": tol}
        # The fits of a likelihood ratio have the same penalties.
        given = check_penalties(estimator, estimator._default_alphas)
        penalties = {name: penalty.value for name, penalty in given.items() if penalty.search}
        self.options = estimator.get_params(deep=False) | changed | penalties
        self.tolerance = tol * n_rows

    def fit_null(self, data: TrainingData, seed: int) -> Candidate:
        """K experts fitted to the data."""
        return self._best_fit(data, self.n_experts, [self.options["init"]], seed)

    def ratio(self, null: Candidate, data: TrainingData, seed: int) -> LikelihoodRatio:
        """Likelihood ratio of the data, given the fit of K experts to them.

        K + 1 experts start from the K experts with one of them split in two, and as in any fit. If
        their likelihood is smaller than that of K experts, a thorough search follows.
        """
        more = self.n_experts + 1
        fitter = IncrementalFitter(self._estimator({}), data, seed)
        fitter.fitted = null.estimator
        noise = fitter.noise_variance
        starts = [fitter.split_responsibilities(more), self.options["init"]]
        best = self._best_fit(data, more, starts, seed, noise)
        for search in range(1, MAX_SEARCHES):
            if best.log_likelihood >= null.log_likelihood - self.tolerance:
                break
            repeated = self._best_fit(data, more, ["search"], seed + search, noise)
            best = max(best, repeated, key=attrgetter("log_likelihood"))
        gain = best.log_likelihood - null.log_likelihood
        return LikelihoodRatio(
            (null.log_likelihood, best.log_likelihood),
            statistic=2.0 * gain if gain > self.tolerance else 0.0,
            is_failed=gain < -self.tolerance,
            converged=bool(null.estimator.converged_ and best.estimator.converged_),
        )

    def replicate(
        self, null: Candidate, data: TrainingData, seed: np.random.SeedSequence
    ) -> Replicate:
        """The statistic of a target drawn from the fit of K experts."""
        rng = np.random.RandomState(np.random.MT19937(seed))
        rows = rows_for(null.estimator, data)
        y = draw_target(null.estimator, rows, rng)
        if is_classifier(null.estimator):
            y = class_codes(y, data.attributes["classes_"])
        drawn = data._replace(rows=data.rows._replace(y=y))
        start_seed = int(rng.randint(np.iinfo(np.int32).max - MAX_SEARCHES))
        # EM starts with the responsibilities under the parameters from which the target was drawn:
        # the maximum is close to them. A warm start would keep the scale of the target of the first
        # fit, to which the penalties refer.
        init = responsibilities_of_rows(null.estimator, drawn)
        refit = self._best_fit(drawn, self.n_experts, [init], 0)
        ratio = self.ratio(refit, drawn, start_seed)
        return Replicate(ratio.statistic, ratio.is_failed)

    def _best_fit(
        self,
        data: TrainingData,
        n_experts: int,
        starts: Sequence[str | Array],
        seed: int,
        noise_variance: Array | None = None,
    ) -> Candidate:
        """The fit with the largest likelihood among those from given starts."""
        seeds = np.random.SeedSequence(seed).generate_state(len(starts))
        fits = []
        for start, own_seed in zip(starts, seeds, strict=True):
            options = {"n_experts": n_experts, "init": start}
            if not isinstance(start, str) or start == "search":
                options["n_init"] = 1
            options["random_state"] = int(own_seed % np.iinfo(np.int32).max)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                started = data._replace(init=start if isinstance(start, str) else start.T)
                fit = self._estimator(options)._fit(started, noise_variance=noise_variance)
            log_likelihood = fit._fitted.log_density(rows_for(fit, data)).sum()
            fits.append(Candidate(fit, float(log_likelihood)))
        return max(fits, key=attrgetter("log_likelihood"))

    def _estimator(self, options: dict[str, Any]) -> Any:
        return self.estimator_type(**self.options | options)
