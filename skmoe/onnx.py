"""Fitted mixtures as ONNX models, through the converters of skl2onnx [1]_.

References
----------
.. [1] https://onnx.ai/sklearn-onnx
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array
from skmoe._optional import import_skl2onnx
from skmoe.experts._linear import LinearExperts
from skmoe.experts._logistic import LogisticExperts
from skmoe.gates._averaged import AveragedGate
from skmoe.gates._constant import ConstantGate
from skmoe.gates._softmax import SoftmaxGate


def to_onnx(model: Any, X: Any = None, **options: Any) -> Any:
    """A fitted mixture, or a pipeline or other model with mixtures in it, as an ONNX model.

    Linear and logistic experts with a softmax or constant gate are converted, with `top_k` and
    `combine="average"` too. The model predicts what `predict` gives, of shape (n_samples, 1) or
    (n_samples, n_outputs), and of a classifier labels and probabilities.

    Parameters
    ----------
    model : estimator
        Fitted.
    X : array-like of shape (n_samples, n_features), default=None
        Some rows, whose type is that of the input: single or double precision. None for
        `initial_types` among the options.
    **options : dict
        Passed to `skl2onnx.to_onnx`; `options={"zipmap": False}` gives the probabilities of a
        classifier as an array.

    Returns
    -------
    onnx_model : onnx.ModelProto
        Its `SerializeToString()` is what files hold and runtimes read.

    Raises
    ------
    ImportError
        If skl2onnx is not installed: `pip install "skmoe[onnx]"`.
    ValueError
        If experts, gate or base have no form in ONNX here.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.onnx import to_onnx
    >>> X, y = load_diabetes(return_X_y=True)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> [output.name for output in to_onnx(moe, X[:1]).graph.output]
    ['variable']
    """
    register_converters()
    return import_skl2onnx("to_onnx").to_onnx(model, X, **options)


def register_converters() -> None:
    """Tell skl2onnx of mixtures, so that its own functions convert them wherever they stand.

    Raises
    ------
    ImportError
        If skl2onnx is not installed: `pip install "skmoe[onnx]"`.

    Examples
    --------
    >>> import skl2onnx
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.onnx import register_converters
    >>> X, y = load_diabetes(return_X_y=True)
    >>> pipeline = make_pipeline(StandardScaler(), MixtureOfExpertsRegressor(2, random_state=0))
    >>> register_converters()
    >>> model = skl2onnx.to_onnx(pipeline.fit(X, y), X[:1])
    """
    register = import_skl2onnx("register_converters").update_registered_converter
    register(
        MixtureOfExpertsRegressor,
        "SkmoeMixtureOfExpertsRegressor",
        _shape_of_regressor,
        _convert_regressor,
    )
    register(
        MixtureOfExpertsClassifier,
        "SkmoeMixtureOfExpertsClassifier",
        _shape_of_classifier,
        _convert_classifier,
        options={
            "zipmap": [True, False, "columns"],
            "output_class_labels": [False, True],
            "nocl": [False, True],
        },
    )


# --- what can be converted --------------------------------------------------------------------


def _checked(moe: Any) -> FittedMixture:
    """The mixture of a fitted estimator, if it has a form in ONNX."""
    check_is_fitted(moe)
    mixture: FittedMixture = moe._mixture
    experts, gate = mixture.parts.experts, mixture.parts.gate
    if not isinstance(experts, LinearExperts | LogisticExperts):
        _refuse("expert", moe.expert, 'expert="linear"')
    if mixture.extra_features is not None:
        name = "gate.transformer" if mixture.extra_features.base is None else "base"
        _refuse(name, "one", "neither base nor a gate with a transformer; apply a base beside it")
    if isinstance(gate, AveragedGate):
        gate = gate.gate
    if not isinstance(gate, SoftmaxGate | ConstantGate):
        _refuse("gate", moe.gate, 'gate="softmax" or gate="constant"')
    return mixture


def _refuse(name: str, value: Any, wanted: str) -> None:
    raise ValueError(f"conversion to ONNX needs {wanted}; {name} is {value!r}.")


def _labels(scope: Any, moe: Any) -> Array:
    """Labels as ONNX has them, strings or integers; their numbers, by the option `nocl`."""
    utilities = import_module("skl2onnx.common.utils_classifier")
    classes = np.asarray(utilities.get_label_classes(scope, moe))
    return classes.astype(np.str_ if classes.dtype.kind in "UO" else np.int64)


# --- shapes -----------------------------------------------------------------------------------


def _shape_of_regressor(operator: Any) -> None:
    mixture = _checked(operator.raw_operator)
    assert mixture.target is not None
    shape = [operator.inputs[0].get_first_dimension(), len(mixture.target.center)]
    operator.outputs[0].type = _float_type(operator)(shape)


def _shape_of_classifier(operator: Any) -> None:
    types = import_module("skl2onnx.common.data_types")
    _checked(operator.raw_operator)
    classes = _labels(operator.scope_inst, operator.raw_operator)
    n_rows = operator.inputs[0].get_first_dimension()
    label_type = types.StringTensorType if classes.dtype.kind == "U" else types.Int64TensorType
    operator.outputs[0].type = label_type([n_rows])
    operator.outputs[1].type = _float_type(operator)([n_rows, len(classes)])


def _float_type(operator: Any) -> Any:
    """Double precision for double input, else single."""
    types = import_module("skl2onnx.common.data_types")
    is_double = isinstance(operator.inputs[0].type, types.DoubleTensorType)
    return types.DoubleTensorType if is_double else types.FloatTensorType


# --- graphs -----------------------------------------------------------------------------------


class Graph(NamedTuple):
    """Operators of ONNX, and the type of their numbers."""

    ops: Any
    version: int
    dtype: Any

    def __call__(self, name: str, *inputs: Any, **attributes: Any) -> Any:
        """A node; arrays of numbers come in the type of the graph."""
        given = [
            part.astype(self.dtype)
            if isinstance(part, np.ndarray) and part.dtype.kind == "f"
            else part
            for part in inputs
        ]
        return getattr(self.ops, f"Onnx{name}")(*given, op_version=self.version, **attributes)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph, mixture, design = _begin(operator, container)
    center, spread = mixture.target  # type: ignore[misc]
    mean = _mean(graph, mixture, design, _outputs(graph, mixture, design))
    scaled = graph("Mul", mean, spread[None])
    graph("Add", scaled, center[None], output_names=operator.outputs[:1]).add_to(scope, container)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    graph, mixture, design = _begin(operator, container)
    said = graph("Softmax", _outputs(graph, mixture, design), axis=2)
    mean = _mean(graph, mixture, design, said)
    probs = graph("Identity", mean, output_names=operator.outputs[1:2])
    best = graph("ArgMax", mean, axis=1, keepdims=0)
    labels = _labels(scope, operator.raw_operator)
    label = graph("Gather", labels, best, axis=0, output_names=operator.outputs[:1])
    label.add_to(scope, container)
    probs.add_to(scope, container)


def _begin(operator: Any, container: Any) -> tuple[Graph, FittedMixture, Any]:
    """The graph, the mixture, and the standardised features."""
    types = import_module("skl2onnx.common.data_types")
    ops = import_module("skl2onnx.algebra.onnx_ops")
    is_double = _float_type(operator) is types.DoubleTensorType
    graph = Graph(ops, container.target_opset, np.float64 if is_double else np.float32)
    features = operator.inputs[0]
    if not isinstance(features.type, types.DoubleTensorType | types.FloatTensorType):
        features = graph("Cast", features, to=1)  # to single precision
    mixture: FittedMixture = operator.raw_operator._mixture
    centered = graph("Sub", features, mixture.scale.center[None])
    return graph, mixture, graph("Mul", centered, 1.0 / mixture.scale.scale[None])


def _linear(graph: Graph, mixture: FittedMixture, design: Any, coef: Array, columns: Any) -> Any:
    """Linear predictors (n, P) of standardised features, for coefficients (P, d)."""
    center, spread = mixture.scale
    slopes = np.zeros((len(coef), len(center)))
    slopes[:, np.arange(len(center)) if columns is None else columns] = coef[:, :-1]
    # What the type of the graph cannot hold of the center goes with the intercept.
    rest = (center.astype(graph.dtype).astype(np.float64) - center) / spread
    return graph("Gemm", design, slopes.T, coef[:, -1] + slopes @ rest)


def _outputs(graph: Graph, mixture: FittedMixture, design: Any) -> Any:
    """What each expert says, (n, K, outputs or classes): standardised means, or logits."""
    coef = mixture.params.experts.coef
    said = _linear(graph, mixture, design, coef.reshape(-1, coef.shape[-1]), mixture.expert_columns)
    return graph("Reshape", said, np.array([-1, *coef.shape[:2]], dtype=np.int64))


def _mean(graph: Graph, mixture: FittedMixture, design: Any, said: Any) -> Any:
    """Mean of what the experts say under the gate, (n, outputs or classes)."""
    gate, params, top_k = mixture.parts.gate, mixture.params.gate, mixture.parts.top_k
    if isinstance(gate, AveragedGate):
        starts, top_k = params.starts, gate.top_k
        gates = [_gate(graph, mixture, design, start, top_k, 1.0 / len(starts)) for start in starts]
        weights = graph("Concat", *gates, axis=1)
    else:
        weights = _gate(graph, mixture, design, params, top_k, 1.0)
    n_experts = len(mixture.params.experts.coef)
    weights = graph("Reshape", weights, np.array([-1, n_experts, 1], dtype=np.int64))
    return graph("ReduceSumApi11", graph("Mul", said, weights), axes=[1], keepdims=0)


def _gate(
    graph: Graph, mixture: FittedMixture, design: Any, params: Any, top_k: int | None, share: float
) -> Any:
    """Probabilities of the experts of one start times its share, (n, K)."""
    if hasattr(params, "coef"):
        coef, columns = params.coef, mixture.gate_columns
    else:
        coef = np.zeros((len(params.log_prior), len(mixture.scale.center) + 1))
        coef[:, -1], columns = params.log_prior, None
    logits = _linear(graph, mixture, design, coef, columns)
    if top_k is not None and top_k < len(coef):
        logits = _routed(graph, logits, len(coef), top_k)
    return graph("Mul", graph("Softmax", logits, axis=1), np.array([share]))


def _routed(graph: Graph, logits: Any, n_experts: int, top_k: int) -> Any:
    """Logits with all but the largest at minus infinity; of equals the first."""
    order = graph("TopK", logits, np.array([top_k], dtype=np.int64), axis=1)
    chosen = graph("OneHot", order[1], np.array([n_experts]), np.array([0, 1]), axis=2)
    kept = graph("ReduceSumApi11", chosen, axes=[1], keepdims=0)
    is_kept = graph("Greater", kept, np.array([0]))
    return graph("Where", is_kept, logits, np.array([-np.inf]))
