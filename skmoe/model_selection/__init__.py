"""Comparing mixtures: tests and tables of numbers of experts, and tests of nested models."""

from skmoe.model_selection._n_experts import n_experts_table, n_experts_test
from skmoe.model_selection._nested import likelihood_ratio_test

__all__ = ["likelihood_ratio_test", "n_experts_table", "n_experts_test"]
