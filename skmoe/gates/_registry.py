"""Gates by the names of the parameter `gate`."""

from __future__ import annotations

from typing import Any

from skmoe.gates._constant import ConstantGate
from skmoe.gates._softmax import SoftmaxGate

GATES: dict[str, Any] = {"softmax": SoftmaxGate, "constant": ConstantGate}
