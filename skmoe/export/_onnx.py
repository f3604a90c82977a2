"""Export of fitted mixtures to ONNX, through the converters of skl2onnx [1]_.

References
----------
.. [1] https://onnx.ai/sklearn-onnx
"""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skmoe._data.sklearn_adapter import final_estimator
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._numerics.typing import Array
from skmoe._optional import import_skl2onnx
from skmoe.families import Normal
from skmoe.gates import gate_object

# Key of the names of the experts in the metadata of a model.
NAMES_KEY = "skmoe.expert_names"


def to_onnx(model: Any, X: Any = None, **options: Any) -> Any:
    """Convert a fitted mixture, or a pipeline or other model that contains mixtures, to ONNX.

    Linear and logistic experts are converted, of all families whose mean is a linear function or an
    exponential of the features, with a softmax or constant gate and `top_k`. The outputs of the
    model are those of `predict`, of shape (n_samples, 1) or (n_samples, n_outputs); for a
    classifier the labels and the probabilities. Predictions of the two agree up to the precision of
    the input. The metadata of a mixture, or of a pipeline that ends in one, have the names of the
    experts, as a JSON list with the key "skmoe.expert_names". See "ONNX" in the user guide.

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
    >>> from skmoe.export import to_onnx
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
    >>> from skmoe.export import register_converters
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


# --- what is converted ------------------------------------------------------------------------


class LinearParts(NamedTuple):
    """Gate and experts of a fitted mixture: coefficients, and the means that they make."""

    gate_coef: Array  # (K, p), in the units of X as all are
    gate_intercept: Array  # (K,)
    coef: Array  # (K, m, p), or of each class (K, C, p)
    intercept: Array  # (K, m) or (K, C)
    center: Array  # (p,), means of the features
    means: Means | None  # None for classes


class Means(NamedTuple):
    """The means of the experts: multiples of exponentials, predictors that are shifted, constants.

    Those of an exponential are exp(start + predictor). Predictors are limited to the range that the
    family allows.
    """

    links: Array  # (K, 1), "log", "identity" or ""
    start: Array  # (K, m), the mean, or its logarithm, at a predictor of zero
    bound: Array  # (K, 1), largest absolute value of the linear predictor
    reference: Array  # (m,), which is added in the end, as it may be large


def _check_convertible(moe: Any) -> None:
    """Raise ValueError if there is no graph of the predictions."""
    check_is_fitted(moe)
    moe._check_is_whole("conversion to ONNX")
    if not isinstance(moe.expert, str) or not hasattr(moe, "expert_coef_"):
        wanted = 'experts that are linear, expert="linear", with any family but a few'
        raise _unsupported(wanted, "expert", moe.expert, ": its predictions have no graph")
    wanted = "neither base nor a gate with a transformer; apply a base beside it"
    if moe.base_ is not None:
        raise _unsupported(wanted, "base", "one")
    if not isinstance(moe.gate, str) and moe.gate.transformer is not None:
        raise _unsupported(wanted, "gate.transformer", "one")
    if not hasattr(moe, "gate_coef_"):
        wanted = 'a gate with coefficients, gate="softmax" or gate="constant"'
        raise _unsupported(wanted, "gate", moe.gate)


def _unsupported(wanted: str, name: str, value: Any, reason: str = "") -> ValueError:
    return ValueError(f"conversion to ONNX needs {wanted}; {name} is {value!r}{reason}.")


def _linear_parts(moe: Any) -> LinearParts:
    """Gate and experts of a fitted mixture, from its attributes."""
    _check_convertible(moe)
    n_experts, n_features = moe.gate_coef_.shape
    ranges = getattr(moe, "feature_range_", np.zeros((2, n_features)))
    # Those of experts without predictor are not numbers.
    coef = np.nan_to_num(moe.expert_coef_).reshape(n_experts, -1, n_features)
    intercept = np.nan_to_num(moe.expert_intercept_).reshape(n_experts, -1)
    means = None
    if not hasattr(moe, "classes_"):
        means = _means_of(moe, coef, intercept, ranges)
    elif len(moe.classes_) == 2:  # log odds of the second class
        coef = np.concatenate([np.zeros_like(coef), coef], axis=1)
        intercept = np.concatenate([np.zeros_like(intercept), intercept], axis=1)
    # Single precision needs it; `feature_range_` does not tell where most of the rows are.
    center = moe._fitted.preprocessor.feature_scaling.center
    return LinearParts(moe.gate_coef_, moe.gate_intercept_, coef, intercept, center, means)


def _means_of(moe: Any, coef: Array, intercept: Array, ranges: Array) -> Means:
    """How the means of a regressor are found from its linear predictors.

    Each expert is asked in the middle and at the ends of the ranges of the features.
    """
    families = getattr(moe, "families_", [Normal()] * len(coef))
    links = np.array([[family.link] for family in families])
    bound = np.array([[family.max_predictor] for family in families])
    bound = np.where(links == "log", bound, np.inf)
    rows = np.stack([ranges.mean(axis=0), *ranges])
    with warnings.catch_warnings():  # of rows without names, or without an offset
        warnings.simplefilter("ignore")
        means = moe.predict_experts(rows).reshape(len(rows), *intercept.shape)
    with np.errstate(all="ignore"):
        predictors = np.clip(np.einsum("kmp,np->nkm", coef, rows) + intercept, -bound, bound)
        starts = np.where(links == "log", np.log(means), means) - predictors
        scale = np.where(links == "log", 1.0, 1.0 + np.abs(means).max(axis=0))
        is_known = np.abs(starts - starts[0]).max(axis=0) <= 1e-6 * scale
    if "logit" in links or not is_known.all():
        reason = ": its mean is not an exponential or a linear function of the features"
        raise _unsupported("another family", "family", moe.family, reason)
    reference = moe.weights_ @ np.where((links == "identity").all(), means[0], 0.0)
    return Means(links, starts[0], bound, reference)


def _class_labels(scope: Any, moe: Any) -> Array:
    """Labels as strings or integers, the types of ONNX; their codes with the option `nocl`."""
    utilities = import_module("skl2onnx.common.utils_classifier")
    classes = np.asarray(utilities.get_label_classes(scope, moe))
    return classes.astype(np.str_ if classes.dtype.kind in "UO" else np.int64)


# --- shapes -----------------------------------------------------------------------------------


def _regressor_shape(operator: Any) -> None:
    n_outputs = _linear_parts(operator.raw_operator).intercept.shape[1]
    shape = [operator.inputs[0].get_first_dimension(), n_outputs]
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
    graph, moe = _make_graph(operator, container), operator.raw_operator
    parts = _linear_parts(moe)
    assert parts.means is not None
    features = _centred_features(graph, parts, operator)
    of_experts = _means(graph, parts, parts.means, features)
    top_k = gate_object(moe.gate).top_k
    above = _mixture_mean(graph, parts, features, of_experts, top_k)
    mean = graph("Add", above, parts.means.reference[None], output_names=operator.outputs[:1])
    mean.add_to(scope, container)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    graph, moe = _make_graph(operator, container), operator.raw_operator
    parts = _linear_parts(moe)
    features = _centred_features(graph, parts, operator)
    logits = _linear_predictor(graph, parts, features, parts.coef, parts.intercept)
    proba, top_k = graph("Softmax", logits, axis=2), gate_object(moe.gate).top_k
    mean = _mixture_mean(graph, parts, features, proba, top_k)
    probs = graph("Identity", mean, output_names=operator.outputs[1:2])
    best = graph("ArgMax", mean, axis=1, keepdims=0)
    labels = _class_labels(scope, moe)
    label = graph("Gather", labels, best, axis=0, output_names=operator.outputs[:1])
    label.add_to(scope, container)
    probs.add_to(scope, container)


def _make_graph(operator: Any, container: Any) -> Graph:
    """Factory of nodes in the precision of the input."""
    types = import_module("skl2onnx.common.data_types")
    ops = import_module("skl2onnx.algebra.onnx_ops")
    dtype = np.float64 if _float_type(operator) is types.DoubleTensorType else np.float32
    return Graph(ops, container.target_opset, dtype)


def _centred_features(graph: Graph, parts: LinearParts, operator: Any) -> Any:
    """Node of the features minus their centers, (n, p)."""
    to = ONNX_DOUBLE if graph.dtype is np.float64 else ONNX_FLOAT
    # A data frame has one input for each column.
    inputs = [graph("Cast", features, to=to) for features in operator.inputs]
    return graph("Sub", graph("Concat", *inputs, axis=1), parts.center[None])


def _linear_predictor(
    graph: Graph, parts: LinearParts, features: Any, coef: Array, intercept: Array
) -> Any:
    """Node of linear predictors (n, ...) of centred features, for coefficients (..., p)."""
    center = parts.center.astype(graph.dtype).astype(np.float64)  # as it is subtracted
    vectors = coef.reshape(-1, coef.shape[-1])
    predictor = graph("Gemm", features, vectors.T, intercept.ravel() + vectors @ center)
    return graph("Reshape", predictor, np.array([-1, *coef.shape[:-1]], dtype=np.int64))


def _means(graph: Graph, parts: LinearParts, means: Means, features: Any) -> Any:
    """Node of the means of the experts above the reference, (n, K, m)."""
    links, start, bound, reference = means
    is_log, is_linear, is_constant = (
        np.broadcast_to(links == link, start.shape).astype(float)
        for link in ("log", "identity", "")
    )
    intercept = parts.intercept + (1.0 - is_constant) * start - reference
    predictor = _linear_predictor(graph, parts, features, parts.coef, intercept)
    if is_linear.all():
        return predictor
    predictor = graph("Min", graph("Max", predictor, start - bound), start + bound)
    if is_log.all():
        return graph("Exp", predictor)
    exponential = graph("Mul", graph("Exp", graph("Mul", predictor, is_log)), is_log)
    linear = graph("Add", graph("Mul", predictor, is_linear), is_constant * start)
    return graph("Add", exponential, linear)


def _mixture_mean(
    graph: Graph, parts: LinearParts, features: Any, means: Any, top_k: int | None
) -> Any:
    """Node of the means (n, m), or class probabilities (n, C), from those of the experts."""
    logits = _linear_predictor(graph, parts, features, parts.gate_coef, parts.gate_intercept)
    n_experts = len(parts.gate_coef)
    if top_k is not None and top_k < n_experts:
        logits = _keep_top_k(graph, logits, n_experts, top_k)
    shape = np.array([-1, n_experts, 1], dtype=np.int64)
    gate_prob = graph("Reshape", graph("Softmax", logits, axis=1), shape)
    # A mean that overflows, times a probability of zero, would not be a number.
    largest = np.array([np.finfo(graph.dtype).max])
    means = graph("Min", graph("Max", means, -largest), largest)
    return graph("ReduceSumApi11", graph("Mul", means, gate_prob), axes=[1], keepdims=0)


def _keep_top_k(graph: Graph, logits: Any, n_experts: int, top_k: int) -> Any:
    """Node of the logits with all but the largest at minus infinity; of ties the first is kept."""
    order = graph("TopK", logits, np.array([top_k], dtype=np.int64), axis=1)
    chosen = graph("OneHot", order[1], np.array([n_experts]), np.array([0, 1]), axis=2)
    kept = graph("ReduceSumApi11", chosen, axes=[1], keepdims=0)
    is_kept = graph("Greater", kept, np.array([0]))
    return graph("Where", is_kept, logits, np.array([-np.inf]))
