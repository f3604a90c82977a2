"""The contract of expert families and gates: base classes, and the capabilities that are optional.

Families and gates are stateless objects that hold hyper-parameters only; frozen dataclasses are the
natural form. Parameters are values: named tuples of arrays whose first axis counts the experts. The
responsibilities `resp` of shape (K, n) that a method receives are already multiplied by the sample
weights. Whatever a method computes from the data is a sum over rows, so that results of row blocks
can be added, wherever the blocks are stored.

Shapes: n rows, K experts, d columns of a design matrix (standardised features, and a last column of
ones), m outputs or C classes.

A family derives from `Experts`, a gate from `Gate`. The abstract methods are required. Everything
else has a default, but for two methods. With `reorder(params, order)` all experts are treated
alike, and can be numbered in any order. With `components` of `SupportsDistribution` there is a
predictive distribution. Methods of the estimators that need what is missing name it.
"""

from skmoe.protocols._blocks import Block as Block
from skmoe.protocols._blocks import Correlation as Correlation
from skmoe.protocols._blocks import Dispersion, LinearPredictor, Measure
from skmoe.protocols._experts import Experts, Gate
from skmoe.protocols._experts import Part as Part
from skmoe.protocols._experts import SupportsDistribution as SupportsDistribution
from skmoe.protocols._experts import SupportsGateInference as SupportsGateInference
from skmoe.protocols._experts import SupportsInference as SupportsInference
from skmoe.protocols._experts import has_capability as has_capability
from skmoe.protocols._experts import missing_methods as missing_methods

# What else is imported here is for the package.
__all__ = [
    "Dispersion",
    "Experts",
    "Gate",
    "LinearPredictor",
    "Measure",
]
