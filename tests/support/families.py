"""Families with targets and predictors, for the contract that all of them keep."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from skmoe.families import FAMILIES, Ordinal, StudentT
from skmoe.families._categorical import Categorical
from skmoe.families._censored import Censored
from skmoe.families._joint_normal import JointNormal
from support.expert_kinds import bounded_by, example, example_target
from support.own_families import Gumbel

N_ROWS = 40


class Scaling(NamedTuple):
    """How outputs have been standardised, as `fitted_to` is told."""

    center: np.ndarray
    scale: np.ndarray


def no_scaling(n_outputs=1):
    return Scaling(np.zeros(n_outputs), np.ones(n_outputs))


def _fitted_families():
    chosen = {name: example(name) for name in FAMILIES} | {"student_t, df=4": StudentT(df=4)}
    for values in [(0.0, 1.0), (-3.0, 0.5, 4.0), (1.0, 2.0, 3.0, 5.0, 8.0, 13.0)]:
        chosen[f"ordinal, {len(values)} values"] = Ordinal(values)
    for name, family in chosen.items():
        y = example_target(family, np.random.default_rng(0), N_ROWS)
        yield name, family.fitted_to(y, np.ones(N_ROWS), no_scaling())


# Each registered family, and some with options, fitted to an example of its target.
FITTED_FAMILIES = dict(_fitted_families())
WITH_PREDICTOR = [name for name, family in FITTED_FAMILIES.items() if family.link]

OF_CLASSES = {
    "classes, 2": Categorical(2),
    "classes, 4": Categorical(4),
    "gate of 1": Categorical(1, role="gate"),
    "gate of 2": Categorical(2, role="gate"),
    "gate of 3": Categorical(3, role="gate"),
}
OF_OUTPUTS = {
    "joint normal, 1": JointNormal(1),
    "joint normal, 2": JointNormal(2),
    "joint normal, 3": JointNormal(3),
    "joint lognormal, 3": JointNormal(3, of_logs=True),
}
CENSORED = {
    f"{name}, censored": Censored(family)
    for name, family in FITTED_FAMILIES.items()
    if family.takes_bounds
}
EVERY_FAMILY: dict[str, Any] = {
    **FITTED_FAMILIES,
    **OF_CLASSES,
    **OF_OUTPUTS,
    **CENSORED,
    "gumbel": Gumbel(),
    "gumbel, censored": Censored(Gumbel()),
}


@dataclass
class Case:
    """A family, a target (n,) or (m, n), and its predictors."""

    family: Any
    y: np.ndarray
    eta: list

    def rows(self, rows):
        """The same for some of the rows."""
        eta = [own if own.shape[-1] == 1 else own[..., rows] for own in self.eta]
        return Case(self.family, self.y[..., rows], eta)


def case_of(name, seed=0, leading=(2,), *, constants=True, n_rows=N_ROWS):
    """Means of each row, and other predictors that are constants or vary, (*leading, n or 1)."""
    family, rng = EVERY_FAMILY[name], np.random.default_rng(seed)
    y = target_of(name, rng, n_rows)
    size = {"mean": 0.7, "gate": 0.7}
    eta = [
        size.get(role, 0.15 if family.couples_outputs else 0.5)
        * rng.normal(size=(*leading, 1 if role == "constant" and constants else n_rows))
        for role in family.roles
    ]
    n_means = len(eta) - len(family.log_dispersion_bounds)
    bounded = [
        own.clip(*bounds)
        for own, bounds in zip(eta[n_means:], family.log_dispersion_bounds, strict=True)
    ]
    eta = eta[:n_means] + bounded
    return Case(family, y, eta)


def target_of(name, rng, n_rows=N_ROWS):
    """An example of the target of a family."""
    family = EVERY_FAMILY[name]
    if name.startswith("gate"):
        return rng.dirichlet(np.ones(family.n_classes), size=n_rows).T
    y = example_target(family, rng, n_rows)
    return y if family.couples_outputs else y[0]


def exact(values):
    """Structured targets that are known."""
    return bounded_by(values, values)
