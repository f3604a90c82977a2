"""Panels of reports, as tests compare them with the mixture."""

from skmoe.inspection._report._panel import PanelOptions, make_panel


def panel_of(moe, X, y, **options):
    names = {
        "labels": [f"x{j}" for j in range(X.shape[1])],
        "expert_names": [f"expert {k}" for k in range(moe.n_experts_)],
        "target_name": "y",
        "output": 0,
        "row": None,
        "coverage": 0.9,
        "max_features": 99,
    }
    return make_panel(moe, X, y, PanelOptions(**(names | options)))
