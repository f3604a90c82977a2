"""Quickstart: a mixture of experts beside one linear model, for regression and classification.

Both tables ship with scikit-learn. The number of experts is chosen by cross-validation inside a
pipeline; the scores are of rows that no fit has seen.
"""

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor


def search(moe, grid, X, y, scoring):
    """Fit a scaled mixture with the parameters that cross-validate best."""
    name = type(moe).__name__.lower()
    grid = {f"{name}__{parameter}": values for parameter, values in grid.items()}
    pipeline = make_pipeline(StandardScaler(), moe)
    return GridSearchCV(pipeline, grid, cv=5, scoring=scoring).fit(X, y)


def show_regimes(moe, names, top=3):
    """Print the share of each expert and its largest coefficients, for scaled features."""
    for k in range(moe.n_experts_):
        largest = np.argsort(-np.abs(moe.coef_[k]))[:top]
        slopes = ", ".join(f"{names[j]} {moe.coef_[k, j]:+.1f}" for j in largest)
        noise = ""
        if hasattr(moe, "noise_variance_"):
            noise = f", noise {np.sqrt(moe.noise_variance_[k]):.1f}"
        print(f"  expert {k}: {moe.weights_[k]:4.0%} of the rows{noise}; {slopes}")
    if moe.n_experts_ > 1:
        leaning = np.ptp(moe.gate_coef_, axis=0)
        print("  the gate leans on", ", ".join(names[j] for j in np.argsort(-leaning)[:top]))


def regression():
    """Diabetes progression: a mixture of linear regressions beside a ridge regression."""
    X, y = load_diabetes(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    found = search(
        MixtureOfExpertsRegressor(random_state=0, alpha=10.0),
        {"n_experts": [1, 2, 3], "gate_alpha": [1.0, 10.0]},
        X_train,
        y_train,
        "neg_mean_squared_error",
    )
    moe = found.best_estimator_[-1]
    Z_test = found.best_estimator_[0].transform(X_test)
    ridge = make_pipeline(StandardScaler(), Ridge(alpha=10.0)).fit(X_train, y_train)
    residual = y_train - ridge.predict(X_train)
    spread = np.std(residual)
    density = -0.5 * (
        np.log(2 * np.pi * spread**2) + ((y_test - ridge.predict(X_test)) / spread) ** 2
    )
    print(f"diabetes ({len(X)} rows): chosen {found.best_params_}")
    show_regimes(moe, load_diabetes().feature_names)
    print(f"  {'held out':<28}{'R2':>8}{'log density':>14}")
    print(f"  {'mixture of experts':<28}{found.best_estimator_.score(X_test, y_test):>8.3f}"
          f"{moe.score_samples(Z_test, y_test).mean():>14.3f}")  # fmt: skip
    print(f"  {'Ridge':<28}{ridge.score(X_test, y_test):>8.3f}{density.mean():>14.3f}")


def classification():
    """Breast cancer: a mixture of logistic regressions beside one of them."""
    X, y = load_breast_cancer(return_X_y=True)
    names = ["mean texture", "mean smoothness", "mean symmetry", "mean fractal dimension"]
    # The look of the cells without their size, which alone would tell almost everything.
    X = X[:, [list(load_breast_cancer().feature_names).index(name) for name in names]]
    X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
    found = search(
        MixtureOfExpertsClassifier(random_state=0),
        {"n_experts": [1, 2, 3]},
        X_train,
        y_train,
        "neg_log_loss",
    )
    logistic = make_pipeline(StandardScaler(), LogisticRegression()).fit(X_train, y_train)
    print(f"breast cancer ({len(X)} rows): chosen {found.best_params_}")
    show_regimes(found.best_estimator_[-1], names)
    print(f"  {'held out':<28}{'accuracy':>8}{'log loss':>14}")
    for name, model in [
        ("mixture of experts", found.best_estimator_),
        ("LogisticRegression", logistic),
    ]:
        loss = log_loss(y_test, model.predict_proba(X_test))
        print(f"  {name:<28}{model.score(X_test, y_test):>8.3f}{loss:>14.3f}")


if __name__ == "__main__":
    regression()
    print()
    classification()
