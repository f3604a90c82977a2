"""Result of the test of the number of experts, and its text."""

from __future__ import annotations

from dataclasses import dataclass

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
