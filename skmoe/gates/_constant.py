"""The constant gate: the same probabilities for every row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skmoe._mixture.experts import Gate
from skmoe.families._categorical import Categorical
from skmoe.protocols._experts import Part


@dataclass(frozen=True)
class ConstantGate(Part):
    """The same probabilities for all rows: a mixture of regressions [1]_.

    Use it, as `gate="constant"`, where regimes overlap in the features and only y separates them.
    There is no penalty. See "Choosing and trusting a fit" in the user guide.

    See Also
    --------
    SoftmaxGate : Probabilities that depend on the features.

    References
    ----------
    .. [1] R. E. Quandt and J. B. Ramsey (1978), "Estimating mixtures of normal distributions and
       switching regressions", Journal of the American Statistical Association 73, 730-738.

    Examples
    --------
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.gates import ConstantGate
    >>> MixtureOfExpertsRegressor(gate=ConstantGate()).gate
    ConstantGate()
    """

    depends_on_features: ClassVar[bool] = False
    has_open_penalty: ClassVar[bool] = False
    transformer: ClassVar[Any] = None

    def gate_of(self, n_experts: int, n_columns: int) -> Gate:
        """The gate of a fit."""
        return Gate(Categorical(n_experts, "gate"), 0)
