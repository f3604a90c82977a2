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

    def initial_predictor(self, y, weight):
        return float(np.log(np.average(y, weights=weight)))

    def log_prob(self, y, predictor, log_dispersion):
        return np.where(y > 0, -predictor - y * np.exp(-predictor), -np.inf)

    def predictor_score(self, y, predictor, log_dispersion):
        return y * np.exp(-predictor) - 1

    def predictor_information(self, predictor, log_dispersion):
        return np.ones(predictor.shape)

    def mean(self, predictor, log_dispersion):
        return np.exp(predictor)

    def components(self, predictor, log_dispersion):  # a gamma distribution of shape one
        weight = np.ones((1, predictor.shape[-1]))
        return GammaComponents(weight, np.exp(predictor)[None], np.ones((1, *predictor.shape)))

    def example_target(self, rng, n_rows):
        return rng.exponential(size=(1, n_rows))


FAMILIES["waiting_time"] = WaitingTime
