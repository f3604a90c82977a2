"""A family of distributions of your own: exponential, with a log link."""

from dataclasses import dataclass

import numpy as np

from skmoe.distributions import GammaComponents
from skmoe.families import FAMILIES, Family


@dataclass(frozen=True)
class WaitingTime(Family):
    name = "waiting_time"
    link = "log"
    support = "positive numbers"
    max_predictor = 230.0  # the exponential and its square stay finite
    max_step = 1.0  # of the linear predictors in one step of Fisher scoring

    def in_support(self, y):
        return y > 0

    def working_target(self, y):
        return np.log(np.maximum(y, 1e-300))

    def start(self, y, weight):
        return np.log([np.average(y, weights=weight)])

    def log_prob(self, y, eta):
        return -eta[0] - y * np.exp(-eta[0])

    def mean(self, eta):
        return np.exp(eta[0])

    def components(self, eta):  # a gamma distribution of shape one
        return GammaComponents.single(np.exp(np.atleast_2d(eta[0])), np.ones(()))


FAMILIES["waiting_time"] = WaitingTime
