"""Gates: how an expert is chosen from the features of a row."""

from __future__ import annotations

from skmoe.gates._constant import ConstantGate
from skmoe.gates._softmax import SoftmaxGate

GATES = {"softmax": SoftmaxGate, "constant": ConstantGate}
