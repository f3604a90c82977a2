"""From a fitted mixture to statements about it: information criteria, errors of coefficients."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from skmoe._coefficients import NOISE, Layout, Term, term_covariance
from skmoe._em import Params, Parts
from skmoe._extras import import_pandas
from skmoe._information import Information, covariance, observed_information
from skmoe._mixture import Mixture
from skmoe._numerics import Array
from skmoe._rows import Rows, in_blocks


def n_parameters(parts: Parts, params: Params) -> float:
    """Free parameters of gate and experts."""
    return parts.gate.n_parameters(params.gate) + parts.experts.n_parameters(params.experts)


def akaike(log_likelihood: float, n_params: float) -> float:
    """Akaike's information criterion, smaller is better."""
    return 2.0 * n_params - 2.0 * log_likelihood


def bayesian(log_likelihood: float, n_params: float, n_rows: float) -> float:
    """Schwarz's Bayesian information criterion, smaller is better."""
    return n_params * float(np.log(n_rows)) - 2.0 * log_likelihood


def entropy(resp: Array, weight: Array) -> float:
    """Entropy of the responsibilities (K, n), summed over weighted rows."""
    logs = np.log(np.where(resp > 0.0, resp, 1.0))
    return -float((resp * logs).sum(axis=0) @ weight)


class Inference:
    """Coefficients of a mixture with their errors.

    Made by the method `inference` of a fitted estimator. Terms that have no error have NaN there,
    and `reasons` says why: "separated" where fewer rows inform a logit than it has coefficients,
    "not determined" where the data leave a direction free or a variance is at its floor, and
    "fixed" for constant features and the reference of the gate.

    Attributes
    ----------
    terms : list of (part, response, name)
        Where each coefficient stands: "expert 0" or "gate"; the output or class of the expert, or
        the expert that the gate chooses; the feature.
    estimates : ndarray of shape (n_terms,)
        Coefficients in the units of the data.
    covariance : ndarray of shape (n_terms, n_terms)
        Covariance of the estimates.
    reasons : list of str of length n_terms
        Why a term has no error; empty if it has one.
    method : str
        How the covariance was found.
    replicates : ndarray of shape (n_bootstrap, n_terms) or None
        Estimates of the bootstrap.
    """

    def __init__(
        self,
        terms: list[Term],
        estimates: Array,
        covariance: Array,
        reasons: list[str],
        method: str,
        replicates: Array | None = None,
    ) -> None:
        self.terms = terms
        self.estimates = estimates
        self.covariance = covariance
        self.reasons = reasons
        self.method = method
        self.replicates = replicates

    @property
    def standard_errors(self) -> Array:
        """Standard errors, of shape (n_terms,)."""
        return np.sqrt(np.maximum(np.diag(self.covariance), 0.0))

    @property
    def z_values(self) -> Array:
        """Estimates in standard errors; NaN for log variances, of which zero is no hypothesis."""
        named = np.array([term.name == NOISE for term in self.terms])
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(named, np.nan, self.estimates / self.standard_errors)

    @property
    def p_values(self) -> Array:
        """Two-sided p-values of coefficients of zero, by the normal approximation."""
        return 2.0 * ndtr(-np.abs(self.z_values))

    def conf_int(self, level: float = 0.95) -> Array:
        """Confidence intervals.

        Parameters
        ----------
        level : float, default=0.95
            Confidence, in (0, 1).

        Returns
        -------
        intervals : ndarray of shape (n_terms, 2)
            By the normal approximation, or of the bootstrap: quantiles reflected about the
            estimate, so that what penalties take away is given back (Davison and Hinkley 1997,
            Bootstrap Methods and their Application, chapter 5).

        Raises
        ------
        ValueError
            If the level is outside (0, 1).
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must be in (0, 1); got {level!r}. For 95 % say 0.95.")
        tails = np.array([0.5 * (1.0 - level), 0.5 * (1.0 + level)])
        if self.replicates is not None:
            return (2.0 * self.estimates - np.quantile(self.replicates, tails[::-1], axis=0)).T
        return self.estimates[:, None] + self.standard_errors[:, None] * ndtri(tails)

    def to_frame(self, level: float = 0.95):
        """A pandas frame with a row for each term.

        Parameters
        ----------
        level : float, default=0.95
            Confidence of the intervals, in (0, 1).

        Returns
        -------
        frame : pandas.DataFrame
            Indexed by part, response and name.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = import_pandas("Inference.to_frame")
        lower, upper = self.conf_int(level).T
        return pandas.DataFrame(
            {
                "estimate": self.estimates,
                "standard error": self.standard_errors,
                "z": self.z_values,
                "p": self.p_values,
                "lower": lower,
                "upper": upper,
                "reason": self.reasons,
            },
            index=pandas.MultiIndex.from_tuples(self.terms, names=["part", "response", "term"]),
        )

    def __repr__(self) -> str:
        return f"<Inference on {len(self.terms)} terms: {self.method}>"


def observed_inference(
    mixture: Mixture,
    rows: Rows,
    layout: Layout,
    terms: list[Term],
    estimates: Array,
    robust: bool,
    reference: int | None,
) -> tuple[Inference, bool]:
    """Errors by the observed information, and whether it was indefinite."""
    information = observed_information(mixture.parts, mixture.params, in_blocks(rows))
    inverse = covariance(information, _held(mixture, information), robust)
    matrix, reasons = term_covariance(layout, mixture, information, inverse, reference)
    method = "sandwich covariance" if robust else "observed information"
    return Inference(terms, estimates, matrix, reasons, method), inverse.indefinite


def _held(mixture: Mixture, information: Information) -> Array:
    """Coordinates (D,) at a limit."""
    experts: Any = mixture.parts.experts
    held = np.zeros(len(information.observed), dtype=bool)
    for slots, limits in zip(
        information.expert_slots, experts.held(mixture.params.experts), strict=True
    ):
        held[slots] |= limits
    return held
