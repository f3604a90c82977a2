"""Gates by the names of the parameter `gate`."""

from __future__ import annotations

from skmoe.gates._constant import ConstantGate
from skmoe.gates._softmax import SoftmaxGate
from skmoe.protocols import Gate

GATES: dict[str, type[Gate]] = {"softmax": SoftmaxGate, "constant": ConstantGate}
