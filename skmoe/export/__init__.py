"""Fitted mixtures outside of Python, by ONNX, and files that are read safely, by skops."""

from skmoe.export._onnx import register_converters, to_onnx
from skmoe.export._skops import trusted_types

__all__ = ["register_converters", "to_onnx", "trusted_types"]
