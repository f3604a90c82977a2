"""Fits of several numbers of experts to the same rows, each near the maximum of the one before."""

from __future__ import annotations

import copy
import warnings
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from skmoe._data.rows import Rows
from skmoe._estimators.fitting.attributes import attributes_of_run
from skmoe._estimators.fitting.problem import FitProblem, build_problem
from skmoe._estimators.rows.training_data import FitOptions, TrainingData
from skmoe._mixture.data import Data
from skmoe._mixture.em import Run, without_rows
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.search import fit_starts
from skmoe._mixture.starts import with_split_experts
from skmoe._numerics.typing import Array

# Iterations of fits that leave rows out, from the fit to all rows.
N_ITER_WITHOUT_ROWS = 20


class Trial(NamedTuple):
    """A fit of a number of experts to training data."""

    estimator: Any
    data: TrainingData
    problem: FitProblem
    run: Run

    @property
    def n_experts(self) -> int:
        """Number of experts."""
        return int(self.estimator.n_experts)

    @property
    def rows(self) -> Rows:
        """The rows of the fit, whose units have numbers."""
        rows = self.data.rows
        return rows if rows.unit is None else rows._replace(unit=rows.unit_codes)

    @property
    def noise_variance(self) -> Array | None:
        """Noise variance of the standardised outputs before the fit, which takes time to find."""
        estimate = self.problem.em_problem.mixture.experts.penalties.get("noise_variance")
        return None if estimate is None else np.array(estimate)

    @property
    def fitted(self) -> FittedMixture:
        """The fitted mixture."""
        return self.problem.make_fitted(self.run.theta, self.run.mixture)

    def attributes(self) -> dict[str, Any]:
        """Fitted attributes."""
        return attributes_of_run(self.problem, self.run)

    def fitted_estimator(self) -> Any:
        """The estimator with its fitted attributes."""
        fitted = copy.copy(self.estimator)
        fitted._set_fitted_attributes(self.attributes())
        return fitted

    def posterior(self) -> tuple[Array, Array]:
        """Responsibilities (K, U) and log densities (U,) of the distinct rows, or of units."""
        rows, fitted = self.problem.em_problem.rows, self.fitted
        data = fitted.data(rows)
        resp, log_density = fitted.mixture.responsibilities(fitted.theta[None], data)
        return resp[:, 0], log_density[0] - self._log_jacobian(data)

    def log_likelihood(self) -> float:
        """Log-likelihood of the rows, without penalties."""
        return float(self.posterior()[1] @ self.problem.em_problem.rows.gate_weight)

    def without_rows(self, left_out: Array) -> tuple[Array, Array]:
        """Log densities (S, U) of rows or units, and sums (K, S) of responsibilities.

        They are those of fits that leave parts of the rows out, (S, U), and are started from this
        one: near the same maximum, so that their scores can be compared. Their penalties are its
        own.
        """
        em_problem, (mixture, theta) = self.problem.em_problem, (self.run.mixture, self.run.theta)
        if mixture.experts.needs_all_rows:
            return self._without_rows_of_estimators(left_out)
        objective = em_problem.objective(mixture)
        log_density, masses = without_rows(objective, theta, left_out, N_ITER_WITHOUT_ROWS)
        jacobian = [self._log_jacobian(data) for data in objective.blocks]
        return log_density - np.concatenate(jacobian), masses

    def _without_rows_of_estimators(self, left_out: Array) -> tuple[Array, Array]:
        """The same of fits whose experts are fitted again."""
        resp, codes = self.posterior()[0], self.rows.unit_codes
        log_density, masses = np.zeros(left_out.shape), np.zeros((len(resp), len(left_out)))
        for s, own in enumerate(left_out):
            kept, test = np.flatnonzero(own[codes] < 1.0), np.flatnonzero(own[codes])
            weight = self.data.rows.weight[kept] * (1.0 - own[codes[kept]])
            data = self.data.select(kept, weight)
            noise = self.noise_variance
            part = fit_trial(self.estimator, data, resp[:, codes[kept]], {}, noise_variance=noise)
            rows = self.data.select(test).rows
            rows = rows if rows.unit is None else rows._replace(unit=rows.unit_codes)
            log_density[s, np.unique(codes[test])] = part.fitted.log_density(rows)
            masses[:, s] = part.posterior()[0] @ part.problem.em_problem.rows.gate_weight
        return log_density, masses

    def _log_jacobian(self, data: Data) -> Array:
        """Log density of standardised targets minus that of targets, of rows or units (U,)."""
        of_rows = self.problem.preprocessor.log_jacobian_of(data.rows.y)
        return np.asarray(data.sharing.total(np.broadcast_to(of_rows, data.rows.weight.shape)))


def fit_trial(
    estimator: Any,
    data: TrainingData,
    start: Any,
    changed: dict[str, Any],
    *,
    noise_variance: Array | None = None,
    at_maximum: bool = True,
) -> Trial:
    """Fit an estimator with changed parameters, without warnings, to training data.

    The start is the name of one, responsibilities (K, n), or a trial with fewer experts, of which
    some are split in two.
    """
    is_named = isinstance(start, str)
    changed = changed | ({"init": start} if is_named else {"init": "auto", "n_init": 1})
    changed |= {"class_weight": None} if is_classifier(estimator) else {}
    own = copy.copy(estimator).set_params(**changed)
    params = own._validate_parameters()
    init = start if is_named or isinstance(start, np.ndarray) else "auto"
    given = data._replace(rows=data.rows.of_n_experts(params.n_experts), init=init)
    options = FitOptions(None, data.attributes.get("classes_"), noise_variance, at_maximum)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = build_problem(own, params, given, options)
        em_problem = problem.em_problem
        if isinstance(start, Trial):
            em_problem = with_split_experts(em_problem, start.run)
            problem = problem._replace(em_problem=em_problem)
        run = fit_starts(em_problem, [None] * len(em_problem.seeds), None, own.n_jobs).run
    return Trial(own, given, problem, run)
