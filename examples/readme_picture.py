"""The picture of the README: cholesterol by age, by one line and by a mixture of two experts.

Draws the example of the README into docs/cholesterol.png. Needs matplotlib and pandas.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import load_health_survey

COLOURS = ["#0072B2", "#D55E00"]
STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}

# What the picture shows, in its file: tests compare it with the text of the README.
DESCRIPTION = (
    "one line rises by {:.2f} a year; of two experts one falls by {:.2f}, the other rises by {:.2f}"
)


def main(path):
    X, y = load_health_survey(return_X_y=True, as_frame=True)
    line, moe = (MixtureOfExpertsRegressor(k, random_state=0).fit(X, y) for k in (1, 2))
    ages = np.arange(20, 81)
    rows = X.iloc[:1].assign(**X.median()).loc[np.zeros(len(ages), dtype=int)].assign(age=ages)
    shown = X.sample(1500, random_state=0).index

    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(9, 3.6), sharex=True, sharey=True, layout="constrained"
        )
        left.scatter(X["age"][shown], y[shown], s=8, color="#AAAAAA", linewidths=0)
        left.plot(ages, line.predict(rows), color="black", linewidth=2.5)
        slope = line.expert_coef_[0, 0]
        left.set_title(f"One linear model: {slope:+.2f} a year")
        kind, share = moe.apply(X.loc[shown]), moe.predict_gate(rows)
        for k, colour in enumerate(COLOURS):
            own = shown[kind == k]
            right.scatter(X["age"][own], y[own], s=8, color=colour, alpha=0.45, linewidths=0)
            slope, likely = moe.expert_coef_[k, 0], share[:, k] > 0.15
            right.plot(
                ages[likely],
                moe.predict_experts(rows)[likely, k],
                color=colour,
                linewidth=3,
                label=f"expert {k}: {slope:+.2f} a year, {moe.weights_[k]:.0%} of rows",
            )
        right.set_title("A mixture of two experts")
        right.legend(loc="upper center", frameon=False, fontsize=10)
        for ax in (left, right):
            ax.set(xlabel="age")
        left.set(ylabel="cholesterol (mg/dL)", ylim=(70, 370))
        slopes = line.expert_coef_[0, 0], -moe.expert_coef_[0, 0], moe.expert_coef_[1, 0]
        figure.savefig(path, dpi=150, metadata={"Description": DESCRIPTION.format(*slopes)})


if __name__ == "__main__":
    home = Path(__file__).parents[1] / "docs"
    main(sys.argv[1] if len(sys.argv) > 1 else home / "cholesterol.png")
