"""The contract of gates."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from skmoe._numerics.typing import Array, Design
from skmoe.protocols._part import Part


class ChoiceModel(Part):
    """The probability of each expert given the features: what a fitted mixture needs of a gate.

    See "Write your own expert" in the documentation.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.gates import ConstantGate
    >>> gate = ConstantGate()
    >>> gate.n_parameters(gate.init_params(n_experts=3, n_columns=2))
    2
    """

    # Fitted transformer of the columns that the gate sees, if it has one.
    transformer: Any = None

    @abstractmethod
    def log_prob(self, params: Any, design: Design) -> Array:
        """Log probability of each expert, of shape (K, n)."""

    @abstractmethod
    def n_parameters(self, params: Any) -> int:
        """Number of free parameters; slopes that are zero for all experts are none."""

    def coefficients(self, params: Any, n_columns: int) -> Array | None:
        """Coefficients of the logits, (K, d), the intercept last; None if they are not linear.

        They serve `gate_coef_`, `explain`, `summary`, `inference` and ONNX. For probabilities that
        do not depend on the features the slopes are zero.
        """
        return None

    def n_starts(self, params: Any) -> int:
        """Number of fits that the gate averages."""
        return len(self.single_gates(params))

    def single_gates(self, params: Any) -> list[tuple[Any, Any]]:
        """The gate of each fit that the gate averages, and its parameters. Default: its own."""
        return [(self, params)]

    @property
    def depends_on_features(self) -> bool:
        """Whether the probabilities differ between rows."""
        return True


class Gate(ChoiceModel):
    """A gate that can be fitted: a model whose target is the index of the expert.

    An object of a subclass is a value of the parameter `gate`. See "Write your own expert" in the
    documentation.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe.gates import SoftmaxGate
    >>> gate = SoftmaxGate()
    >>> params = gate.init_params(n_experts=2, n_columns=3)
    >>> np.exp(gate.log_prob(params, np.ones((1, 3))))
    array([[0.5],
           [0.5]])
    """

    @property
    def has_open_penalty(self) -> bool:
        """Whether the default of `gate_alpha` decides on the penalty. Default: the gate's own."""
        return False

    @abstractmethod
    def init_params(self, n_experts: int, n_columns: int) -> Any:
        """Parameters that give every expert the same probability."""

    @abstractmethod
    def statistics(self, params: Any, design: Design, resp: Array, log_prob: Array) -> Any:
        """Sums over the rows that `m_step` needs; `log_prob` (K, n) is the gate's own."""

    @abstractmethod
    def m_step(self, statistics: Any, factor: Any, params: Any, step: float) -> Any:
        """New parameters. A small `step` must not decrease the expected log-likelihood."""

    def hessian(self, params: Any, design: Design, resp: Array, log_prob: Array) -> Any:
        """Negative Hessian of the expected log-likelihood, summed over the rows.

        Default: None, for an M-step in closed form.
        """
        return None

    def moved(self, params: Any, change: Array) -> Any:
        """The parameters after a change (P,) of the coordinates of inference.

        Default: None, for a gate without them, so that EM ends the fit.
        """
        return None
