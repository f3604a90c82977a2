"""Displays of a mixture: regimes, gate, experts, coefficients, importances, a prediction and more.

Draws the diabetes table of scikit-learn into one file. Needs matplotlib.
"""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from sklearn.datasets import load_diabetes
from sklearn.model_selection import train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.inspection import (
    CalibrationDisplay,
    CoefficientsDisplay,
    ConvergenceDisplay,
    ExpertsDisplay,
    GateDisplay,
    ImportanceDisplay,
    PredictionDisplay,
    RegimesDisplay,
    ResponsibilitiesDisplay,
    SegmentProfileDisplay,
    export_mermaid,
    export_text,
)


def main(path):
    X, y = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    y = y.rename("progression")
    X, X_new, y, y_new = train_test_split(X, y, test_size=0.3, random_state=0)
    moe = MixtureOfExpertsRegressor(2, gate_alpha=10.0, random_state=0).fit(X, y)

    figure = plt.figure(figsize=(14, 32), layout="constrained")
    upper, lower, last = figure.subfigures(3, 1, height_ratios=[18, 7, 7])
    axes = upper.subplots(4, 2, height_ratios=[3, 3, 3, 4])
    GateDisplay.from_estimator(moe, X, features="bmi", ax=axes[0, 0])
    GateDisplay.from_estimator(moe, X, features=("bmi", "s5"), ax=axes[0, 1])
    ExpertsDisplay.from_estimator(moe, X, y, "bmi", ax=axes[1, 0])
    ConvergenceDisplay.from_estimator(moe, ax=axes[1, 1])
    ResponsibilitiesDisplay.from_estimator(moe, X, y, ax=axes[2, 0])
    CalibrationDisplay.from_estimator(moe, X_new, y_new, ax=axes[2, 1])
    ImportanceDisplay.from_estimator(moe, X_new, y_new, random_state=0, ax=axes[3, 0])
    RegimesDisplay.from_estimator(moe, X, y, ax=axes[3, 1])
    SegmentProfileDisplay.from_estimator(moe, X, y, ax=lower.subplots())
    left, right = last.subfigures(1, 2)
    CoefficientsDisplay.from_estimator(moe, X, y, by="expert", ax=left.subplots())
    PredictionDisplay.from_estimator(moe, X_new, y_new, ax=right.subplots())
    figure.savefig(path)

    print(export_text(moe, X=X, max_features=3))
    print()
    print(export_mermaid(moe, X=X))
    print(f"\nThe pictures are in {path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "pictures.png")
