"""The fit of stacked models, before EM trains the gate on their out-of-fold densities."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from skmoe._data.folds import is_held_out
from skmoe._data.rows import Dataset, subset, subset_units
from skmoe._estimators.fitting.attributes import attributes_of_mixture
from skmoe._estimators.fitting.callbacks import FitTask
from skmoe._estimators.fitting.problem import FitProblem
from skmoe._estimators.parameters.stacking_parameters import check_possible
from skmoe._mixture.em import EMOptions, EMStart, run_em
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.model import MixtureModel, Params
from skmoe.experts._estimator_params import EstimatorParams
from skmoe.experts._given_densities import GivenDensities
from skmoe.gates._constant import ConstantGate

# EM of the pool of densities: largest number of iterations, and gain per row where it stops.
MAX_POOL_ITER = 30
POOL_TOL = 1e-4


class ModelMonitor:
    """Progress of the fits of stacked models: printed lines, and tasks of callbacks.

    Parameters
    ----------
    problem : FitProblem
        The problem before the fits.
    task : FitTask
        Task of the whole fit, of which those of the models are the first.
    verbose : int
        1 prints a line for each model, 2 also one before its fits.
    """

    def __init__(self, problem: FitProblem, task: FitTask, verbose: int):
        n_models = problem.em_problem.model.n_experts
        self.problem = problem
        self.tasks = [task.subtask("model", task_id=k) for k in range(n_models)]
        self.verbose = verbose

    def start(self, k: int, name: str) -> None:
        """Called before the fits of model k."""
        if self.verbose > 1:
            print(f"  model {k}, {name}: fits without each fold, and to all rows")
        self.tasks[k].start()

    def end(self, k: int, name: str, params: EstimatorParams) -> None:
        """Called after the fits of model k, with the parameters of all models so far."""
        if self.verbose > 0:
            print(f"model {k}, {name}: fitted")
        self.tasks[k].end(partial(self._attributes, k + 1, params))

    def _attributes(self, n_models: int, params: EstimatorParams) -> dict[str, Any]:
        """Attributes of a mixture of the first models with equal probabilities."""
        stacked: Any = self.problem.em_problem.model.experts
        mixture = _with_equal_weights(*stacked.first(params, n_models))
        fitted = FittedMixture(*mixture, self.problem.preprocessor)
        return self.problem.attributes | attributes_of_mixture(fitted) | {"n_experts_": n_models}


def fit_stacked_models(problem: FitProblem, task: FitTask, verbose: int) -> FitProblem:
    """The problem of the gate, with densities of models that have been fitted."""
    em_problem = problem.em_problem
    rows, model = em_problem.rows, em_problem.model
    experts: Any = model.experts
    monitor = ModelMonitor(problem, task, verbose)
    fitted = experts.fit_models(rows.expert_design, rows.y, rows.weight, monitor)
    rows, fitted = _with_predictions(rows, fitted)
    check_possible(experts.log_prob(fitted, rows.expert_design, rows.y), rows.y)
    if experts.classes is None:
        fitted = _fit_pool(experts, fitted, rows)
    log_density = experts.log_prob(fitted, rows.expert_design, rows.y)
    given = GivenDensities()
    n_experts, n_columns = model.n_experts, rows.gate_design.shape[1]
    start = Params(
        model.gate.init_params(n_experts, n_columns), given.init_params(n_experts, n_experts)
    )
    rows = rows._replace(expert_design=np.ascontiguousarray(log_density.T))
    em_problem = em_problem._replace(
        model=model._replace(experts=given),
        rows=rows,
        init_data=em_problem.init_data._replace(rows=rows),  # a sample has no densities
        init=start,
        seeds=[],
    )
    stacked_models = experts, experts.of_all_rows(fitted)
    return problem._replace(em_problem=em_problem, stacked_models=stacked_models)


def _with_predictions(rows: Dataset, params: EstimatorParams) -> tuple[Dataset, EstimatorParams]:
    """The rows that have out-of-fold predictions, with the total weight of all rows."""
    index = np.flatnonzero(is_held_out(rows.expert_design))
    if len(index) == len(rows.weight):
        return rows, params
    factor = rows.weight.sum() / rows.weight[index].sum()
    if rows.units is not None:
        units = np.unique(rows.units.codes[index])
        return subset_units(rows, units, factor), params.of_rows(index)
    return subset(rows, index, factor * rows.weight[index]), params.of_rows(index)


def _fit_pool(experts: Any, params: EstimatorParams, rows: Dataset) -> EstimatorParams:
    """Spreads and dispersions that maximise the likelihood of a mixture with constant weights."""
    model, start = _with_equal_weights(experts, params)
    options = EMOptions(MAX_POOL_ITER, POOL_TOL, n_plain_iter=MAX_POOL_ITER)
    run = run_em(model, [rows], EMStart(start), options, lambda n_iter, run: False)
    found: EstimatorParams = run.params.experts
    return found


def _with_equal_weights(experts: Any, params: EstimatorParams) -> tuple[MixtureModel, Params]:
    """A mixture of models with constant weights, and its parameters with equal ones."""
    gate, n_models = ConstantGate(), len(params.models)
    return MixtureModel(gate, experts, n_models), Params(gate.init_params(n_models, 0), params)
