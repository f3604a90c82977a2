"""Gates: the probability of each expert given the features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from skmoe._data.checks import check_choice, check_integer, check_real, check_transformer
from skmoe._mixture.experts import Gate
from skmoe._numerics.typing import Alpha
from skmoe.families._categorical import Categorical
from skmoe.protocols import Part

__all__ = ["GATES", "ConstantGate", "MarkovGate", "SoftmaxGate"]

# Penalty on the slopes of a gate that has none of its own.
DEFAULT_GATE_ALPHA = 1.0

# Kinds of probabilities of the first rows of series.
INITIAL = "free", "stationary"

# Largest number of pseudo-rows for each row: their sum over the rows is finite.
MAX_BALANCE = 1e100


class _LogitGate(Part):
    """What the gates have in common: their defaults and checks, and the gate of a fit."""

    alpha: Any = 0.0
    transformer: Any = None
    top_k: Any = None
    balance: Any = 0.0
    initial: Any = ""
    depends_on_features: ClassVar[bool] = True
    persists: ClassVar[bool] = False

    def check_options(self) -> None:
        """Validate penalty and transformer, the experts of a row, and the balance of shares."""
        if self.alpha is not None:
            check_real("gate.alpha", self.alpha)
        check_transformer("gate.transformer", self.transformer)
        if self.top_k is not None:
            check_integer("gate.top_k", self.top_k, least=1)
        check_real("gate.balance", self.balance, most=MAX_BALANCE)

    @property
    def has_open_penalty(self) -> bool:
        """Whether `gate_alpha` of the estimator decides by default."""
        return self.alpha is None

    def gate_of(self, n_experts: int, n_columns: int) -> Gate:
        """The gate of a fit with columns of a design matrix; with one there are no slopes."""
        alpha = DEFAULT_GATE_ALPHA if self.alpha is None else self.alpha
        n_columns = n_columns if self.depends_on_features else 0
        return Gate(Categorical(n_experts, "gate"), n_columns, alpha, initial=self.initial)


@dataclass(frozen=True)
class ConstantGate(_LogitGate):
    """The same probabilities for all rows: a mixture of regressions [1]_.

    Use it, as `gate="constant"`, where regimes overlap in the features and only y separates them.
    There is no penalty. See "Choosing and trusting a fit" in the user guide.

    Parameters
    ----------
    top_k, balance : object
        See `SoftmaxGate`.

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
    >>> MixtureOfExpertsRegressor(gate=ConstantGate(balance=0.05)).gate
    ConstantGate(top_k=None, balance=0.05)
    """

    top_k: int | None = None
    balance: float = 0.0

    depends_on_features: ClassVar[bool] = False


@dataclass(frozen=True)
class SoftmaxGate(_LogitGate):
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
        named in `gate_feature_names_`. None for linear borders. See "What to tune first" in the
        user guide.
    top_k : int or None, default=None
        Largest number of experts with a positive weight for a row, in training and in prediction.
        None is all of them, and so is a number that is not below that of the experts.
    balance : float, default=0.0
        Strength of load balancing: `balance` times the mean log of the experts' shares, which are
        means of the gate's probabilities over rows (or units), is added to the log-likelihood per
        row. 0 is off; try 0.01 to 0.1 if experts lose their rows.

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
    >>> MixtureOfExpertsRegressor(8, gate=SoftmaxGate(alpha=10.0, top_k=2)).gate
    SoftmaxGate(alpha=10.0, transformer=None, top_k=2, balance=0.0)
    """

    alpha: Alpha | None = None
    transformer: Any = None
    top_k: int | None = None
    balance: float = 0.0


@dataclass(frozen=True)
class MarkovGate(_LogitGate):
    """Regimes that persist in time: a Markov chain of experts in each series of rows [1]_ [2]_.

    Use it, as `gate="markov"`, for rows that follow one another in time: `units` of `fit` name the
    series, and `time` orders the rows of each. The first row of a series has an expert by
    probabilities of their own. The expert of a later row depends on that of the row before, by a
    multinomial logit on the features of the later row (`gate_features`) for each expert that the
    row before can have. With `gate_features=[]` the transition probabilities are constant. See
    "Regimes that persist in time" in the user guide.

    Parameters
    ----------
    alpha : float or None, default=None
        L2 penalty on the slopes of the transitions, as in `SoftmaxGate`.
    initial : {"free", "stationary"}, default="free"
        Probabilities of the expert of the first row of a series: of their own, or those of the
        stationary distribution of the transitions, with `gate_features=[]`. The latter is the
        default of `MarkovRegression` of statsmodels.

    See Also
    --------
    SoftmaxGate : Experts of rows that are independent of those of other rows.

    References
    ----------
    .. [1] J. D. Hamilton (1989), "A new approach to the economic analysis of nonstationary time
       series and the business cycle", Econometrica 57, 357-384.
    .. [2] F. X. Diebold, J.-H. Lee and G. C. Weinbach (1994), "Regime switching with time-varying
       transition probabilities", in C. Hargreaves (ed.), Nonstationary Time Series Analysis and
       Cointegration, Oxford University Press, 283-302.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> rng = np.random.default_rng(0)
    >>> regime = np.repeat([0, 1, 0], [60, 60, 80])
    >>> X = rng.normal(size=(200, 1))
    >>> y = np.where(regime, 3.0 - X[:, 0], X[:, 0]) + 0.3 * rng.normal(size=200)
    >>> moe = MixtureOfExpertsRegressor(2, gate="markov", gate_features=[]).fit(X, y)
    >>> moe.transition_matrix_.round(2)
    array([[0.99, 0.01],
           [0.02, 0.98]])
    """

    alpha: Alpha | None = None
    initial: str = "free"

    persists: ClassVar[bool] = True

    def check_options(self) -> None:
        """Validate also the kind of the first rows."""
        super().check_options()
        check_choice("gate.initial", self.initial, INITIAL)

    def gate_of(self, n_experts: int, n_columns: int) -> Gate:
        """The gate of a fit with columns of a design matrix; with one there are no slopes."""
        return super().gate_of(n_experts, n_columns if n_columns > 1 else 0)


# Gates by the names of the parameter `gate`.
GATES: dict[str, Any] = {"softmax": SoftmaxGate, "constant": ConstantGate, "markov": MarkovGate}


def gate_object(gate: Any) -> Any:
    """The gate of a name, with its defaults, or the object that is given."""
    return GATES[gate]() if isinstance(gate, str) and gate in GATES else gate


def persists(gate: Any) -> bool:
    """Whether a gate, or that of a name, is of series."""
    return bool(getattr(gate_object(gate), "persists", False))
