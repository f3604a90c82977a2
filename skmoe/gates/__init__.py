"""Gates: the probability of each expert given the features."""

from skmoe.gates._constant import ConstantGate
from skmoe.gates._registry import GATES
from skmoe.gates._softmax import SoftmaxGate

__all__ = ["GATES", "ConstantGate", "SoftmaxGate"]
