"""Quickstart: a mixture of experts and one linear model, for regression and classification.

Both tables ship with scikit-learn. The number of experts is chosen by cross-validation inside a
pipeline; the scores are those of held-out rows.
"""

import numpy as np
from scipy.stats import norm
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.inspection import export_text


def search(moe, grid, X, y, scoring):
    """Fit a scaled mixture with the parameters that cross-validate best."""
    name = type(moe).__name__.lower()
    grid = {f"{name}__{parameter}": values for parameter, values in grid.items()}
    pipeline = make_pipeline(StandardScaler(), moe)
    return GridSearchCV(pipeline, grid, cv=5, scoring=scoring).fit(X, y)


def regression():
    """Diabetes progression: a mixture of linear regressions, and a ridge regression."""
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
    noise_std = np.std(y_train - ridge.predict(X_train))
    density = norm.logpdf(y_test, ridge.predict(X_test), noise_std)
    print(f"diabetes ({len(X)} rows): chosen {found.best_params_}")
    print(export_text(moe, feature_names=load_diabetes().feature_names, max_features=3))
    print(f"\n{'held out':<28}{'R2':>8}{'log density':>14}")
    print(f"{'mixture of experts':<28}{found.best_estimator_.score(X_test, y_test):>8.3f}"
          f"{moe.score_samples(Z_test, y_test).mean():>14.3f}")  # fmt: skip
    print(f"{'Ridge':<28}{ridge.score(X_test, y_test):>8.3f}{density.mean():>14.3f}")


def classification():
    """Breast cancer: a mixture of logistic regressions, and a single one."""
    X, y = load_breast_cancer(return_X_y=True)
    names = ["mean texture", "mean smoothness", "mean symmetry", "mean fractal dimension"]
    # Texture and shape of the cells without their size, which alone would predict almost perfectly.
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
    print(export_text(found.best_estimator_[-1], feature_names=names, max_features=3))
    print(f"\n{'held out':<28}{'accuracy':>8}{'log loss':>14}")
    for name, model in {"mixture of experts": found, "LogisticRegression": logistic}.items():
        loss = log_loss(y_test, model.predict_proba(X_test))
        accuracy = accuracy_score(y_test, model.predict(X_test))
        print(f"{name:<28}{accuracy:>8.3f}{loss:>14.3f}")


if __name__ == "__main__":
    regression()
    print()
    classification()
