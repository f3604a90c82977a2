"""Quickstart: fit, read, check, compare and draw a mixture of experts.

Both tables ship with scikit-learn. Scores are those of held-out rows. The picture is written to
`quickstart.png` in the current folder.
"""

import matplotlib
import numpy as np
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import RegimesDisplay, export_text


def regression():
    """The colour of wines: the mixture finds two kinds of wine, and an equation for each."""
    wine = load_wine(as_frame=True).frame
    X, y = wine[["alcohol", "flavanoids", "hue"]], wine["color_intensity"]
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    moe = MixtureOfExpertsRegressor("auto", random_state=0).fit(X_train, y_train)
    print(f'1. The colour of {len(X)} wines. n_experts="auto" selects {moe.n_experts_} experts:\n')
    print(export_text(moe, X=X_train))

    lower, upper = moe.predict_interval(X_test, coverage=0.9).T
    covered = np.mean((lower <= y_test) & (y_test <= upper))
    print(f"\nThe 90 % intervals contain {100 * covered:.0f} % of the held-out wines.")

    linear = MixtureOfExpertsRegressor(1, random_state=0).fit(X_train, y_train)
    boosting = HistGradientBoostingRegressor(random_state=0).fit(X_train, y_train)
    print(f"\n{'held-out wines (higher is better)':<36}{'R2':>8}{'log density':>14}")
    for name, model in {"mixture of experts": moe, "one linear model": linear}.items():
        density = model.score_samples(X_test, y_test).mean()
        print(f"{name:<36}{model.score(X_test, y_test):>8.3f}{density:>14.3f}")
    print(f"{'boosting (predicts no density)':<36}{boosting.score(X_test, y_test):>8.3f}")

    matplotlib.use("agg")
    RegimesDisplay.from_estimator(moe, X_train, y_train).figure_.savefig("quickstart.png", dpi=150)
    print("\nquickstart.png shows the gate above and the model of each expert below.")


def classification():
    """Breast cancer by texture and shape of the cells, without the size that nearly decides it."""
    table = load_breast_cancer(as_frame=True)
    X = table.data[["mean texture", "mean smoothness", "mean symmetry", "mean fractal dimension"]]
    y = table.target_names[table.target]
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    models = {
        "mixture of experts": MixtureOfExpertsClassifier("auto", random_state=0),
        "one logistic regression": make_pipeline(StandardScaler(), LogisticRegression()),
        "boosting": HistGradientBoostingClassifier(random_state=0),
    }
    for model in models.values():
        model.fit(X_train, y_train)
    moe = models["mixture of experts"]
    print(f'2. {len(X)} tumours. n_experts="auto" selects {moe.n_experts_} experts:\n')
    print(export_text(moe, X=X_train, max_features=2))
    print(f"\n{'held-out tumours':<36}{'accuracy':>8}{'log loss (lower is better)':>28}")
    for name, model in models.items():
        loss = log_loss(y_test, model.predict_proba(X_test))
        print(f"{name:<36}{model.score(X_test, y_test):>8.3f}{loss:>28.3f}")


if __name__ == "__main__":
    regression()
    print()
    classification()
