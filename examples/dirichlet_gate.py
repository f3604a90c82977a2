"""A gate of your own: the same probabilities for all rows, with a Dirichlet prior."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from skmoe.gates import GATES
from skmoe.protocols import Gate


class DirichletParams(NamedTuple):
    log_weight: np.ndarray  # log probability of each expert, (K,)


class DirichletStatistics(NamedTuple):
    weight: np.ndarray  # of the rows of each expert, (K,)


@dataclass(frozen=True)
class DirichletGate(Gate):
    depends_on_features = False

    alpha: float = 1.0  # pseudo-rows of each expert

    def init_params(self, n_experts, n_columns):
        return DirichletParams(np.full(n_experts, -np.log(n_experts)))

    def log_prob(self, params, design):
        return np.repeat(params.log_weight[:, None], design.shape[0], axis=1)

    def statistics(self, params, design, resp, log_prob):
        return DirichletStatistics(resp.sum(axis=1))

    def m_step(self, statistics, factor, params, step):
        return self.project(DirichletParams(np.log(statistics.weight + self.alpha)))

    def project(self, params):
        return DirichletParams(params.log_weight - np.logaddexp.reduce(params.log_weight))

    def penalty(self, params):
        return -self.alpha * params.log_weight.sum()

    def n_parameters(self, params):
        return len(params.log_weight) - 1


GATES["dirichlet"] = DirichletGate
