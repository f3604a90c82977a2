"""Gates of a user, which learn nothing of the features."""

from collections import namedtuple

import numpy as np
from scipy.special import log_softmax

from skmoe.protocols import Gate

Logits = namedtuple("Logits", "logits")


class PriorGate(Gate):
    """Constant probabilities of the experts, which are those of the responsibilities."""

    def init_params(self, n_experts, n_columns):
        return Logits(np.zeros(n_experts))

    def log_prob(self, params, design):
        logs = log_softmax(params.logits)[:, None]
        return np.broadcast_to(logs, (len(logs), design.shape[0])).copy()

    def statistics(self, params, design, resp, log_prob):
        return resp.sum(axis=1)

    def m_step(self, statistics, factor, params, step):
        return Logits(np.log(statistics / statistics.sum()))

    def n_parameters(self, params):
        return len(params.logits) - 1


class FixedGate(PriorGate):
    """Equal probabilities."""

    def m_step(self, statistics, factor, params, step):
        return params


class WorseGate(PriorGate):
    """A gate whose M-step gives nearly all rows to the expert that had the fewest."""

    def m_step(self, statistics, factor, params, step):
        fewest = np.arange(len(params.logits)) == params.logits.argmin()
        return Logits(np.where(fewest, 7.0, 0.0))


class BrokenGate(PriorGate):
    """A gate whose M-step fails."""

    def m_step(self, statistics, factor, params, step):
        raise RuntimeError("broken gate")
