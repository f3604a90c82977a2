"""Export of fitted mixtures to ONNX, through the converters of skl2onnx [1]_.

References
----------
.. [1] https://onnx.ai/sklearn-onnx
"""

from __future__ import annotations

import json
from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmoe._data.preprocessing import Preprocessor
from skmoe._data.sklearn_adapter import final_estimator
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._mixture.fitted import FittedMixture
from skmoe._numerics.typing import Array
from skmoe._optional import import_skl2onnx
from skmoe.protocols import SupportsONNX, missing_methods

# Key of the names of the experts in the metadata of a model.
NAMES_KEY = "skmoe.expert_names"


def to_onnx(model: Any, X: Any = None, **options: Any) -> Any:
    """Convert a fitted mixture, or a pipeline or other model that contains mixtures, to ONNX.

    Families of experts that have the capability `skmoe.protocols.SupportsONNX` are converted, such
    as linear, logistic and Poisson experts, with a softmax or constant gate and
    `top_k`. The outputs of the model are those of `predict`, of shape (n_samples, 1) or
    (n_samples, n_outputs); for a classifier the labels and the probabilities. Its metadata have the
    names of the experts, of a mixture or of a pipeline that ends in one, as a JSON list with the
    key "skmoe.expert_names". Predictions of the two agree up to the precision of the input. See
    "ONNX" in the user guide.

    Parameters
    ----------
    model : estimator
        Fitted.
    X : array-like of shape (n_samples, n_features), default=None
        Some rows, which give the type of the input: single or double precision. None if the options
        contain `initial_types`.
    **options : dict
        Passed to `skl2onnx.to_onnx`; with `options={"zipmap": False}` the probabilities of a
        classifier are an array.

    Returns
    -------
    onnx_model : onnx.ModelProto
        Its `SerializeToString()` is the content of a file for runtimes.

    Raises
    ------
    ImportError
        If skl2onnx is not installed: `pip install "skmoe[onnx]"`.
    ValueError
        If the experts cannot be converted, as estimators cannot, or if there is a base model or a
        gate with a transformer.

    See Also
    --------
    register_converters : For conversions by skl2onnx itself.

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
    skl2onnx = import_skl2onnx("to_onnx")
    register_converters()
    onnx_model = skl2onnx.to_onnx(model, X, **options)
    names = getattr(final_estimator(model), "expert_names_", None)
    if names is not None:
        onnx_model.metadata_props.add(key=NAMES_KEY, value=json.dumps(names))
    return onnx_model


def register_converters() -> None:
    """Register the converters of mixtures with skl2onnx, whose functions then convert them too.

    `to_onnx` calls it; you need it only to call skl2onnx yourself. See "ONNX" in the user guide.

    Raises
    ------
    ImportError
        If skl2onnx is not installed: `pip install "skmoe[onnx]"`.

    See Also
    --------
    to_onnx : The conversion in one call.

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
        _regressor_shape,
        _convert_regressor,
    )
    register(
        MixtureOfExpertsClassifier,
        "SkmoeMixtureOfExpertsClassifier",
        _classifier_shape,
        _convert_classifier,
        options={
            "zipmap": [True, False, "columns"],
            "output_class_labels": [False, True],
            "nocl": [False, True],
        },
    )


# --- checks -----------------------------------------------------------------------------------


def _check_convertible(moe: Any) -> FittedMixture:
    """The fitted mixture of an estimator, if it can be converted."""
    check_is_fitted(moe)
    moe._check_is_whole("conversion to ONNX")
    fitted: FittedMixture = moe._fitted
    model, params, preprocessor = fitted
    missing = missing_methods(model.experts, SupportsONNX)
    has_none = f"{type(model.experts).__name__} has no method {missing[0]}" if missing else ""
    if reason := has_none or model.experts.limitation(SupportsONNX):
        name, value = moe._expert_parameter
        if not missing and isinstance(value, str):
            name, value = "family", moe.family
        raise _unsupported(
            'experts of a family that supports it, such as expert="linear" with family="normal"',
            name,
            value,
            f": {reason} (see skmoe.protocols.SupportsONNX)",
        )
    if preprocessor.extra_features is not None:
        name = "gate.transformer" if preprocessor.extra_features.base is None else "base"
        wanted = "neither base nor a gate with a transformer; apply a base beside it"
        raise _unsupported(wanted, name, "one")
    if model.gate.coefficients(params.gate, preprocessor.n_gate_columns) is None:
        raise _unsupported(
            'a gate with coefficients, gate="softmax" or gate="constant"', "gate", moe.gate
        )
    return fitted


def _unsupported(wanted: str, name: str, value: Any, reason: str = "") -> ValueError:
    return ValueError(f"conversion to ONNX needs {wanted}; {name} is {value!r}{reason}.")


def _class_labels(scope: Any, moe: Any) -> Array:
    """Labels as strings or integers, the types of ONNX; their codes with the option `nocl`."""
    utilities = import_module("skl2onnx.common.utils_classifier")
    classes = np.asarray(utilities.get_label_classes(scope, moe))
    return classes.astype(np.str_ if classes.dtype.kind in "UO" else np.int64)


# --- shapes -----------------------------------------------------------------------------------


def _regressor_shape(operator: Any) -> None:
    scaling = _check_convertible(operator.raw_operator).preprocessor.target_scaling
    assert scaling is not None
    shape = [operator.inputs[0].get_first_dimension(), len(scaling.center)]
    operator.outputs[0].type = _float_type(operator)(shape)


def _classifier_shape(operator: Any) -> None:
    types = import_module("skl2onnx.common.data_types")
    _check_convertible(operator.raw_operator)
    classes = _class_labels(operator.scope_inst, operator.raw_operator)
    n_rows = operator.inputs[0].get_first_dimension()
    label_type = types.StringTensorType if classes.dtype.kind == "U" else types.Int64TensorType
    operator.outputs[0].type = label_type([n_rows])
    operator.outputs[1].type = _float_type(operator)([n_rows, len(classes)])


def _float_type(operator: Any) -> Any:
    """Double precision for double input, else single."""
    types = import_module("skl2onnx.common.data_types")
    is_double = any(isinstance(one.type, types.DoubleTensorType) for one in operator.inputs)
    return types.DoubleTensorType if is_double else types.FloatTensorType


# --- graphs -----------------------------------------------------------------------------------


# Codes of the element types in the ONNX standard.
ONNX_FLOAT = 1
ONNX_DOUBLE = 11


class Graph(NamedTuple):
    """Factory of the nodes of a graph."""

    ops: Any
    version: int
    dtype: Any

    def __call__(self, name: str, *inputs: Any, **attributes: Any) -> Any:
        """A node of one operator; arrays of floating-point numbers get the type of the graph."""
        converted = [
            value.astype(self.dtype)
            if isinstance(value, np.ndarray) and value.dtype.kind == "f"
            else value
            for value in inputs
        ]
        return getattr(self.ops, f"Onnx{name}")(*converted, op_version=self.version, **attributes)


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    graph = _make_graph(operator, container)
    fitted: FittedMixture = operator.raw_operator._fitted
    scaling = fitted.preprocessor.target_scaling
    assert scaling is not None
    scaled = graph("Mul", _mixture_mean(graph, fitted, operator), scaling.scale[None])
    mean = graph("Add", scaled, scaling.center[None], output_names=operator.outputs[:1])
    mean.add_to(scope, container)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    graph = _make_graph(operator, container)
    mean = _mixture_mean(graph, operator.raw_operator._fitted, operator)
    probs = graph("Identity", mean, output_names=operator.outputs[1:2])
    best = graph("ArgMax", mean, axis=1, keepdims=0)
    labels = _class_labels(scope, operator.raw_operator)
    label = graph("Gather", labels, best, axis=0, output_names=operator.outputs[:1])
    label.add_to(scope, container)
    probs.add_to(scope, container)


def _make_graph(operator: Any, container: Any) -> Graph:
    """Factory of nodes in the precision of the input."""
    types = import_module("skl2onnx.common.data_types")
    ops = import_module("skl2onnx.algebra.onnx_ops")
    dtype = np.float64 if _float_type(operator) is types.DoubleTensorType else np.float32
    return Graph(ops, container.target_opset, dtype)


def _standardized_features(graph: Graph, preprocessor: Preprocessor, operator: Any) -> Any:
    """Node of the standardised features, (n, d - 1)."""
    to = ONNX_DOUBLE if graph.dtype is np.float64 else ONNX_FLOAT
    # A data frame has one input for each column.
    inputs = [graph("Cast", features, to=to) for features in operator.inputs]
    features = graph("Concat", *inputs, axis=1)
    center, scale = preprocessor.feature_scaling
    return graph("Mul", graph("Sub", features, center[None]), 1.0 / scale[None])


def _mixture_mean(graph: Graph, fitted: FittedMixture, operator: Any) -> Any:
    """Node of the means of the standardised target, (n, m), or class probabilities, (n, C)."""
    model, params, preprocessor = fitted
    features = _standardized_features(graph, preprocessor, operator)
    experts: Any = model.experts
    predictor = partial(
        _linear_predictor, graph, preprocessor, features, preprocessor.expert_columns
    )
    means = experts.to_onnx(graph, params.experts, predictor)
    shape = np.array([-1, model.n_experts, 1], dtype=np.int64)
    gate_prob = graph("Reshape", _gate_prob(graph, fitted, features), shape)
    # A mean that overflows, times a probability of zero, would not be a number.
    largest = np.array([np.finfo(graph.dtype).max])
    means = graph("Min", graph("Max", means, -largest), largest)
    return graph("ReduceSumApi11", graph("Mul", means, gate_prob), axes=[1], keepdims=0)


def _linear_predictor(
    graph: Graph, preprocessor: Preprocessor, features: Any, columns: Array | None, coef: Array
) -> Any:
    """Node of linear predictors (n, ...) of standardised features, for coefficients (..., d)."""
    center, scale = preprocessor.feature_scaling
    vectors = coef.reshape(-1, coef.shape[-1])
    slopes = np.zeros((len(vectors), len(center)))
    slopes[:, np.arange(len(center)) if columns is None else columns] = vectors[:, :-1]
    # The rounding error of the center in the type of the graph is corrected in the intercept.
    error = (center.astype(graph.dtype).astype(np.float64) - center) / scale
    predictor = graph("Gemm", features, slopes.T, vectors[:, -1] + slopes @ error)
    return graph("Reshape", predictor, np.array([-1, *coef.shape[:-1]], dtype=np.int64))


def _gate_prob(graph: Graph, fitted: FittedMixture, features: Any) -> Any:
    """Node of the probabilities of the experts, (n, K)."""
    model, params, preprocessor = fitted
    coef = model.gate.coefficients(params.gate, preprocessor.n_gate_columns)
    logits = _linear_predictor(graph, preprocessor, features, preprocessor.gate_columns, coef)
    if model.top_k is not None and model.top_k < len(coef):
        logits = _keep_top_k(graph, logits, len(coef), model.top_k)
    return graph("Softmax", logits, axis=1)


def _keep_top_k(graph: Graph, logits: Any, n_experts: int, top_k: int) -> Any:
    """Node of the logits with all but the largest at minus infinity; of ties the first is kept."""
    order = graph("TopK", logits, np.array([top_k], dtype=np.int64), axis=1)
    chosen = graph("OneHot", order[1], np.array([n_experts]), np.array([0, 1]), axis=2)
    kept = graph("ReduceSumApi11", chosen, axes=[1], keepdims=0)
    is_kept = graph("Greater", kept, np.array([0]))
    return graph("Where", is_kept, logits, np.array([-np.inf]))
