"""The picture of the README: two kinds of iris, found by the regressions of their sepals.

Draws the example of the README into docs/irises.png. Needs matplotlib and pandas.
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression

from skmoe import MixtureOfExpertsRegressor

COLOURS = ["#0072B2", "#D55E00"]
STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}

# What the picture shows, in its file: tests compare it with the text of the README.
DESCRIPTION = (
    "slope {:.2f}. Right, a mixture of two experts: both lines rise, with slopes {:.2f} and {:.2f}"
)


def main(path):
    iris = load_iris(as_frame=True).frame.rename(columns=lambda name: name.removesuffix(" (cm)"))
    X, y = iris[["sepal length", "petal length"]], iris["sepal width"]
    moe = MixtureOfExpertsRegressor("auto", expert_features=["sepal length"], random_state=0)
    moe.fit(X, y)

    with plt.rc_context(STYLE):
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(9, 3.6), sharex=True, sharey=True, layout="constrained"
        )
        length = X["sepal length"].to_numpy()
        ends = np.array([length.min(), length.max()])
        line = LinearRegression().fit(length[:, None], y)
        left.scatter(length, y, s=18, color="#888888")
        left.plot(ends, line.predict(ends[:, None]), color="black", linewidth=2)
        left.set_title(f"One line for all: slope {line.coef_[0]:+.2f}")
        kind = moe.apply(X)
        for k, colour in enumerate(COLOURS):
            own = length[kind == k]
            ends = np.array([own.min(), own.max()])
            percent = round(100 * moe.weights_[k])
            right.scatter(own, y[kind == k], s=18, color=colour, alpha=0.6)
            right.plot(
                ends,
                moe.expert_intercept_[k] + moe.expert_coef_[k, 0] * ends,
                color=colour,
                linewidth=2.5,
                label=f"expert {k}: slope {moe.expert_coef_[k, 0]:+.2f}, {percent} % of rows",
            )
        right.set_title("A mixture of experts")
        right.legend(loc="upper right", frameon=False)
        for ax in (left, right):
            ax.set(xlabel="sepal length (cm)")
        left.set(ylabel="sepal width (cm)", ylim=(1.8, 5.2))
        figure.get_layout_engine().set(h_pad=0.1)
        shown = DESCRIPTION.format(*line.coef_, *moe.expert_coef_[:, 0])
        figure.savefig(path, dpi=150, metadata={"Description": shown})


if __name__ == "__main__":
    home = Path(__file__).parents[1] / "docs"
    main(sys.argv[1] if len(sys.argv) > 1 else home / "irises.png")
