"""Fitted mixtures outside of Python, by ONNX, and files that are read safely, by skops.

The converters are those of skl2onnx [1]_.

References
----------
.. [1] https://onnx.ai/sklearn-onnx
"""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from pkgutil import walk_packages
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from skmoe._data.sklearn_adapter import final_estimator
from skmoe._data.steps import categorical_columns
from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor
from skmoe._inference.labels import coefficients_of_means, families_of
from skmoe._numerics.typing import Array
from skmoe._optional import import_skl2onnx
from skmoe.experts._linear import EXPERTS
from skmoe.families import FAMILIES, Normal
from skmoe.gates import GATES, gate_object

__all__ = ["register_converters", "to_onnx", "trusted_types"]

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
        classifier are an array, as they must be in double precision.

    Returns
    -------
    onnx_model : onnx.ModelProto
        Its `SerializeToString()` is the content of a file for runtimes.

    Raises
    ------
    ImportError
        If skl2onnx is not installed: `pip install skl2onnx`.
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
        If skl2onnx is not installed: `pip install skl2onnx`.

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
    choices = {"zipmap": [True, False, "columns"]}
    choices |= {"output_class_labels": [False, True], "nocl": [False, True]}
    for kind, options in ((MixtureOfExpertsRegressor, None), (MixtureOfExpertsClassifier, choices)):
        register(kind, f"Skmoe{kind.__name__}", _set_shapes, _convert, options=options)


# --- what is converted ------------------------------------------------------------------------


def _coefficients(moe: Any) -> Array:
    """Coefficients (K, V, 1 + p) of the experts; a ValueError if there is no graph of the mean."""
    check_is_fitted(moe)
    moe._check_is_whole("conversion to ONNX")
    is_linear = isinstance(moe.expert, str) and hasattr(moe, "expert_coef_")
    of_features = hasattr(moe, "gate_coef_") and gate_object(moe.gate).transformer is None
    for name, holds, wanted in (
        ("expert", is_linear, 'linear experts, expert="linear", with any family but a few'),
        ("base", moe.base_ is None, "a mixture without base; apply the base beside the graph"),
        ("gate", of_features, 'gate="softmax" or gate="constant", without a transformer'),
    ):
        if not holds:
            raise _unsupported(wanted, name, getattr(moe, name))
    return coefficients_of_means(moe)


def _unsupported(wanted: str, name: str, value: Any) -> ValueError:
    return ValueError(f"conversion to ONNX needs {wanted}; {name} is {value!r}.")


def _class_labels(scope: Any, moe: Any) -> Array:
    """Labels as strings or integers, the types of ONNX; their codes with the option `nocl`."""
    utilities = import_module("skl2onnx.common.utils_classifier")
    classes = np.asarray(utilities.get_label_classes(scope, moe))
    return classes.astype(np.str_ if classes.dtype.kind in "UO" else np.int64)


# --- graphs -----------------------------------------------------------------------------------

# Codes of the element types in the ONNX standard.
ONNX_FLOAT = 1
ONNX_DOUBLE = 11


def _set_shapes(operator: Any) -> None:
    """Types and shapes of the means, or of the labels and the probabilities."""
    types = import_module("skl2onnx.common.data_types")
    moe, n_rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    float_type = types.DoubleTensorType if _is_double(operator) else types.FloatTensorType
    operator.outputs[-1].type = float_type([n_rows, _coefficients(moe).shape[1]])
    if is_classifier(moe):
        is_text = _class_labels(operator.scope_inst, moe).dtype.kind == "U"
        label_type = types.StringTensorType if is_text else types.Int64TensorType
        operator.outputs[0].type = label_type([n_rows])


def _is_double(operator: Any) -> bool:
    """Whether some input has double precision; the graph is in single precision otherwise."""
    double = import_module("skl2onnx.common.data_types").DoubleTensorType
    return any(isinstance(each.type, double) for each in operator.inputs)


class Graph(NamedTuple):
    """Factory of the nodes of a graph, with a node of the centred features (n, p)."""

    ops: Any
    version: int
    dtype: Any
    center: Array  # (p,), means of the features, which single precision needs
    features: Any = None

    def __call__(self, name: str, *inputs: Any, **attributes: Any) -> Any:
        """A node of one operator; arrays of floating-point numbers get the type of the graph."""
        floating = [isinstance(v, np.ndarray) and v.dtype.kind == "f" for v in inputs]
        pairs = zip(inputs, floating, strict=True)
        converted = [v.astype(self.dtype) if is_float else v for v, is_float in pairs]
        return getattr(self.ops, f"Onnx{name}")(*converted, op_version=self.version, **attributes)

    def reshape(self, node: Any, *shape: int) -> Any:
        """Node of the same numbers for each row."""
        return self("Reshape", node, np.array([-1, *shape], dtype=np.int64))

    def linear(self, coefficients: Array) -> Any:
        """Node of linear predictors (n, ...) for intercepts and slopes (..., 1 + p)."""
        center = self.center.astype(self.dtype).astype(np.float64)  # as it is subtracted
        vectors = coefficients.reshape(-1, coefficients.shape[-1])
        intercepts, slopes = vectors[:, 0], vectors[:, 1:]
        predictor = self("Gemm", self.features, slopes.T, intercepts + slopes @ center)
        return self.reshape(predictor, *coefficients.shape[:-1])


def _make_graph(operator: Any, container: Any) -> Graph:
    """Factory of nodes in the precision of the input."""
    ops, is_double = import_module("skl2onnx.algebra.onnx_ops"), _is_double(operator)
    # The ranges of the features do not show where most of the rows are.
    center = operator.raw_operator._fitted.preprocessor.feature_scaling.center
    graph = Graph(ops, container.target_opset, np.float64 if is_double else np.float32, center)
    # A data frame has one input for each column.
    to = ONNX_DOUBLE if is_double else ONNX_FLOAT
    inputs = [graph("Cast", features, to=to) for features in operator.inputs]
    return graph._replace(features=graph("Sub", graph("Concat", *inputs, axis=1), center[None]))


def _convert(scope: Any, operator: Any, container: Any) -> None:
    graph, moe, outputs = _make_graph(operator, container), operator.raw_operator, operator.outputs
    if is_classifier(moe):
        of_experts = graph("Softmax", graph.linear(_coefficients(moe)), axis=2)
        mean = _mixture_mean(graph, moe, of_experts)
        best = graph("ArgMax", mean, axis=1, keepdims=0)
        label = graph("Gather", _class_labels(scope, moe), best, axis=0, output_names=outputs[:1])
        label.add_to(scope, container)
        mean = graph("Identity", mean, output_names=outputs[1:2])
    else:
        of_experts, reference = _means(graph, moe)
        above = _mixture_mean(graph, moe, of_experts)
        mean = graph("Add", above, reference[None], output_names=outputs[:1])
    mean.add_to(scope, container)


def _means(graph: Graph, moe: Any) -> tuple[Any, Array]:
    """Node of the means (n, K, m) of experts above a reference (m,), which may be large, and it.

    Means are exp(start + predictor), start + predictor, or start alone. For `start` each expert is
    asked in the middle and at the ends of the ranges of the features. Predictors have the bounds of
    the family.
    """
    coefficients = _coefficients(moe)
    families = [[Normal()]] * len(coefficients)
    if hasattr(moe, "families_"):
        families = [families_of(moe, k) for k in range(len(coefficients))]
    links = np.array([[family.link for family in own] for own in families])
    is_log, is_linear, is_constant = (links == link for link in ("log", "identity", ""))
    bound = np.where(is_log, [[f.max_predictor for f in own] for own in families], np.inf)
    ranges = getattr(moe, "feature_range_", np.zeros((2, moe.n_features_in_)))
    rows = np.stack([ranges.mean(axis=0), *ranges])
    with warnings.catch_warnings():  # of rows without names, or without an offset
        warnings.simplefilter("ignore")
        means = moe.predict_experts(rows).reshape(len(rows), *coefficients.shape[:2])
    with np.errstate(all="ignore"):
        predictors = np.einsum("kmp,np->nkm", coefficients, np.insert(rows, 0, 1.0, axis=1))
        starts = np.where(is_log, np.log(means), means) - np.clip(predictors, -bound, bound)
        scale = np.where(is_log, 1.0, 1.0 + np.abs(means).max(axis=0))
        is_known = np.abs(starts - starts[0]).max(axis=0) <= 1e-6 * scale
    if "logit" in links or not is_known.all():
        wanted = "families whose mean is an exponential or a linear function of the features"
        raise _unsupported(wanted, "family", moe.family)
    start, reference = starts[0], moe.weights_ @ np.where(is_linear.all(), means[0], 0.0)
    coefficients[..., 0] += np.where(is_constant, 0.0, start) - reference
    predictor = graph.linear(coefficients)
    if is_linear.all():
        return predictor, reference
    predictor = graph("Min", graph("Max", predictor, start - bound), start + bound)
    log = np.broadcast_to(is_log, start.shape).astype(float)
    exponential = graph("Mul", graph("Exp", graph("Mul", predictor, log)), log)
    linear = graph("Add", graph("Mul", predictor, is_linear + 0.0 * start), is_constant * start)
    return graph("Add", exponential, linear), reference


def _mixture_mean(graph: Graph, moe: Any, means: Any) -> Any:
    """Node of the means (n, m), or class probabilities (n, C), from those of the experts."""
    logits = graph.linear(np.column_stack([moe.gate_intercept_, moe.gate_coef_]))
    top_k = gate_object(moe.gate).top_k
    if top_k is not None and top_k < moe.n_experts_:
        # Of ties the first is kept.
        order = graph("TopK", logits, np.array([top_k], dtype=np.int64), axis=1)
        chosen = graph("OneHot", order[1], np.array([moe.n_experts_]), np.array([0, 1]), axis=2)
        kept = graph("ReduceSumApi11", chosen, axes=[1], keepdims=0)
        logits = graph("Where", graph("Greater", kept, np.array([0])), logits, np.array([-np.inf]))
    gate_prob = graph.reshape(graph("Softmax", logits, axis=1), moe.n_experts_, 1)
    # A mean that overflows, times a probability of zero, would not be a number.
    largest = np.array([np.finfo(graph.dtype).max])
    means = graph("Min", graph("Max", means, -largest), largest)
    return graph("ReduceSumApi11", graph("Mul", means, gate_prob), axes=[1], keepdims=0)


# --- files of skops ---------------------------------------------------------------------------

# Packages whose classes fitted mixtures consist of, without modules that read files.
PACKAGES_OF_FITS = {"_data", "_estimators", "_inference", "_mixture", "experts", "families"}
PACKAGES_OF_FITS |= {"protocols", "gates", "recipes", "stacking"}
READERS = {"skmoe._data.blocks", "skmoe._estimators.rows.first_pass"}


def trusted_types() -> list[str]:
    """Names of the types of this package, for the argument `trusted` of `skops.io.load` [1]_.

    They are values, such as arrays with names, and classes whose methods read no files and start no
    programs. Types of other packages, such as those of experts that are estimators, are not among
    them: `skops.io.get_untrusted_types` lists those of a file.

    Returns
    -------
    names : list of str
        Sorted. Registered families and gates are among them.

    References
    ----------
    .. [1] https://skops.readthedocs.io

    Examples
    --------
    >>> import skops.io
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.export import trusted_types
    >>> X, y = load_diabetes(return_X_y=True)
    >>> moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    >>> same = skops.io.loads(skops.io.dumps(moe), trusted=trusted_types())
    >>> bool((same.predict(X) == moe.predict(X)).all())
    True
    """
    experts = [kind for row in EXPERTS.values() for kind in row.values()]
    types: list[Any] = [categorical_columns, *GATES.values(), *experts, *FAMILIES.values()]
    for module in walk_packages(import_module("skmoe").__path__, "skmoe."):
        if module.name.split(".")[1] in PACKAGES_OF_FITS and module.name not in READERS:
            values = vars(import_module(module.name)).values()
            types += [v for v in values if isinstance(v, type) and v.__module__ == module.name]
    return sorted({f"{kind.__module__}.{kind.__qualname__}" for kind in types})
