"""Results of Wald's test of several coefficients and of the test of the number of experts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtrc

from skmoe._data.checks import shown
from skmoe._numerics.typing import Array

# Level of the sentence that a result prints.
LEVEL = 0.05

# The smallest p-value of B samples is 1 / (B + 1), up to round-off.
SMALLEST_BOUND = 1.5


@dataclass(eq=False)
class NExpertsTest:
    """Bootstrap likelihood-ratio test of K experts against K + 1.

    Returned by `skmoe.model_selection.n_experts_test`; it is not constructed by hand. See "How many
    experts" in the user guide.

    Attributes
    ----------
    n_experts : int
        Number of experts K of the null hypothesis.
    statistic : float
        Likelihood-ratio statistic of the data: twice the difference of the log-likelihoods. It is
        not negative.
    p_value : float
        Probability of a statistic at least as large under K experts, estimated by the replicates,
        in (0, 1].
    replicates : ndarray of shape (n_replicates,)
        Statistics of the bootstrap samples in their order, up to the one after which the test
        stopped. None is negative.
    log_likelihoods : ndarray of shape (2,)
        Log-likelihoods of the data under the fits of K and of K + 1 experts, without penalties.
    n_bootstrap : int
        Largest number of bootstrap samples; there are fewer `replicates` if the test stopped early.
    n_failed_searches : int
        Number of bootstrap samples to which no fit of K + 1 experts had a larger likelihood than
        that of K, after several searches. Their statistics count as 0.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import n_experts_test
    >>> X = np.linspace(-2, 2, 40)[:, None]
    >>> moe = MixtureOfExpertsRegressor(n_experts=1, n_init=1)
    >>> result = n_experts_test(moe, X, np.abs(X[:, 0]), n_bootstrap=1, random_state=0)
    >>> result.n_experts, len(result.replicates)
    (1, 1)
    """

    n_experts: int
    log_likelihoods: Array
    statistic: float
    p_value: float
    replicates: Array
    n_bootstrap: int
    n_failed_searches: int

    def __repr__(self) -> str:
        fewer, more = self.n_experts, self.n_experts + 1
        n_drawn = len(self.replicates)
        most = f" of at most {self.n_bootstrap}" if n_drawn < self.n_bootstrap else ""
        samples = "sample" if n_drawn == self.n_bootstrap == 1 else "samples"
        verb = "fit" if self.p_value <= LEVEL else "do not fit"
        smallest = ""
        if (self.n_bootstrap + 1) * self.p_value < SMALLEST_BOUND:
            smallest = (
                " This p-value is the smallest that so many samples can give: for a smaller one, "
                "raise n_bootstrap."
            )
        return (
            f"{more} experts against {fewer}: likelihood ratio statistic {self.statistic:.1f}, "
            f"p = {self.p_value:.2g} ({n_drawn}{most} bootstrap {samples}). {more} experts {verb} "
            f"significantly better than {fewer}, at the level of {100 * LEVEL:g} %."
            f"{smallest}"
        )


# Eigenvalues of a correlation matrix below this fraction of the largest are round-off: dispersions
# that experts share are equal, for example.
EIGENVALUE_RTOL = 1e-9


@dataclass(eq=False)
class WaldTest:
    """Wald's test of several coefficients, as `Inference.wald_test` describes it.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 1))
    >>> y = np.where(rng.random(200) < 0.5, 3 + X[:, 0], X[:, 0]) + 0.3 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(2, gate="constant", random_state=0).fit(X, y)
    >>> terms = [("expert 0", "", "x0"), ("expert 1", "", "x0")]
    >>> moe.inference(X, y).wald_test(terms, equal=True).df
    1
    """

    statistic: float
    df: int
    p_value: float

    def __repr__(self) -> str:
        return describe_test("Wald", self, "The hypothesis is")


def describe_test(name: str, test: Any, subject: str) -> str:
    """The result of a chi-squared test, and whether its hypothesis is rejected."""
    rejected = "rejected" if test.p_value < LEVEL else "not rejected"
    return (
        f"{name} statistic {test.statistic:.4g}, degrees of freedom {test.df}, p = "
        f"{test.p_value:.3g}. {subject} {rejected} at the level of {100 * LEVEL:g} %."
    )


def wald_test(estimates: Array, covariance: Array) -> WaldTest:
    """Test that estimates with a covariance, which may be singular, are zero."""
    unit = 1.0 / np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    eigenvalues, vectors = np.linalg.eigh(covariance * unit[:, None] * unit)
    kept = eigenvalues > EIGENVALUE_RTOL * eigenvalues[-1]
    along = vectors[:, kept].T @ (estimates * unit)
    statistic, df = float((np.square(along) / eigenvalues[kept]).sum()), int(kept.sum())
    return WaldTest(statistic, df, float(chdtrc(df, statistic)))


def chosen_terms(inference: Any, terms: Sequence[Any], equal: bool) -> list[int]:
    """Indices of terms with a covariance, which a test must have."""
    known = [tuple(term) for term in inference.terms]
    is_list = isinstance(terms, Iterable) and not isinstance(terms, str)
    kinds = list | tuple | np.ndarray
    given = [tuple(t) if isinstance(t, kinds) else t for t in terms] if is_list else []
    unknown = [term for term in given if term not in known]
    if not is_list or unknown or len(set(given)) < 1 + equal:
        raise ValueError(
            f"terms must be {'at least two' if equal else 'a list'} of the terms of `terms`, each "
            f"with part, response and name, such as {known[0]}; got "
            f"{shown(unknown[0] if unknown else terms)}. Pass some of inference.terms."
        )
    chosen = [known.index(term) for term in given]
    for i in chosen:
        reason = inference.reasons[i]
        if not reason and inference.is_dispersion[i] and not equal:
            reason = "the log of a dispersion or probability, for which zero is no hypothesis"
        if reason:
            raise ValueError(
                "terms must have a standard error, and zero as a hypothesis; "
                f"{tuple(inference.terms[i])} is {reason}. Leave it out."
            )
    return chosen
