"""Comparing mixtures: numbers of experts, nested models, and intervals of held-out rows."""

from skmoe.model_selection._n_experts import n_experts_table, n_experts_test
from skmoe.model_selection._nested import cross_val_predict_interval, likelihood_ratio_test
from skmoe.model_selection._splits import UnitTimeSeriesSplit

__all__ = [
    "UnitTimeSeriesSplit",
    "cross_val_predict_interval",
    "likelihood_ratio_test",
    "n_experts_table",
    "n_experts_test",
]
