"""The softmax gate: a multinomial logit of the expert on the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skmoe._data.checks import check_real, check_transformer
from skmoe._mixture.experts import Gate
from skmoe._numerics.typing import Alpha
from skmoe.families._categorical import Categorical
from skmoe.protocols._experts import Part

# Penalty on the slopes of a gate that has none of its own.
DEFAULT_GATE_ALPHA = 1.0


@dataclass(frozen=True)
class SoftmaxGate(Part):
    """Multinomial logit of the expert on the features.

    Fitted by one Newton step per iteration of EM, as a multinomial logit whose targets are the
    responsibilities [1]_, with the full Hessian: treating the classes as independent does not
    converge [2]_. If the Hessian is too large to be formed, the step is computed by conjugate
    gradients.

    Parameters
    ----------
    alpha : float or None, default=None
        L2 penalty on the slopes for standardised features: `alpha / 2` times the sum of their
        squares is subtracted from the log-likelihood. Intercepts are not penalised. Try 0.1 to 100;
        raise it if the gate follows noise. With None `gate_alpha` of the estimator decides, which
        finds the penalty from the data by default; outside of an estimator None is 1. A number of
        `gate_alpha`, "auto" and "ard" replace a number that is given here.
    transformer : transformer or None, default=None
        Transformer of the gate's features (`gate_features`), such as `SplineTransformer()` for
        curved borders between the experts. It is fitted with the mixture; its output columns are
        named in `gate_feature_names_`. None for linear borders. See "Nonlinear borders" in the user
        guide.

    See Also
    --------
    ConstantGate : The same probabilities for all rows.

    References
    ----------
    .. [1] M. I. Jordan and R. A. Jacobs (1994), "Hierarchical mixtures of experts and the EM
       algorithm", Neural Computation 6, 181-214.
    .. [2] K. Chen, L. Xu and H. Chi (1999), "Improved learning algorithms for mixture of experts
       in multiclass classification", Neural Networks 12, 1229-1252.

    Examples
    --------
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.gates import SoftmaxGate
    >>> MixtureOfExpertsRegressor(gate=SoftmaxGate(alpha=10.0)).gate
    SoftmaxGate(alpha=10.0, transformer=None)
    """

    alpha: Alpha | None = None
    transformer: Any = None

    def check_options(self) -> None:
        """Validate penalty and transformer."""
        if self.alpha is not None:
            check_real("gate.alpha", self.alpha)
        check_transformer("gate.transformer", self.transformer)

    @property
    def has_open_penalty(self) -> bool:
        """Whether `gate_alpha` of the estimator decides by default."""
        return self.alpha is None

    depends_on_features: ClassVar[bool] = True

    def gate_of(self, n_experts: int, n_columns: int) -> Gate:
        """The gate of a fit with columns of a design matrix."""
        alpha = DEFAULT_GATE_ALPHA if self.alpha is None else self.alpha
        return Gate(Categorical(n_experts, "gate"), n_columns, alpha)
