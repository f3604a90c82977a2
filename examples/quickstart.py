"""Quickstart: does cholesterol rise with age? Compare, read and draw a mixture of experts.

The table ships with skmoe: 7794 adults of the United States (NHANES 2017 to 2020, public domain).
The picture is written to `quickstart.png` in the current folder.
"""

import matplotlib
import numpy as np
from scipy.stats import norm
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import KFold, cross_val_predict, train_test_split

from skmoe import MixtureOfExpertsRegressor
from skmoe.datasets import load_health_survey
from skmoe.inspection import RegimesDisplay, export_text


def predict(model, X, y, X_test, y_test):
    """Means and log densities of rows; those of boosting have the noise of its own errors."""
    model.fit(X, y)
    if isinstance(model, MixtureOfExpertsRegressor):
        return model.predict(X_test), model.score_samples(X_test, y_test)
    mean, noise = model.predict(X_test), np.std(y - cross_val_predict(model, X, y, cv=5))
    return mean, norm.logpdf(y_test, mean, noise)


def compare(X, y):
    """Held-out errors and log densities: five folds, defaults of all models."""
    models = {
        "one linear model": MixtureOfExpertsRegressor(1),
        "boosting (histograms)": HistGradientBoostingRegressor(random_state=0),
        "boosting": GradientBoostingRegressor(random_state=0),
        "mixture of two experts": MixtureOfExpertsRegressor(2, random_state=0),
        "mixture of experts, number found": MixtureOfExpertsRegressor(random_state=0),
    }
    print(f"1. Cholesterol of {len(X)} adults by age, sex and body mass index, in mg/dL\n")
    print(f"{'held-out adults':<36}{'error':>8}{'log density':>14}")
    folds = list(KFold(5, shuffle=True, random_state=0).split(X))
    for name, model in models.items():
        errors, densities = [], []
        for train, test in folds:
            mean, density = predict(model, X.iloc[train], y.iloc[train], X.iloc[test], y.iloc[test])
            errors.append(root_mean_squared_error(y.iloc[test], mean))
            densities.append(density.mean())
        print(f"{name:<36}{np.mean(errors):>8.2f}{np.mean(densities):>14.3f}", flush=True)


def read(X, y):
    """The equations of two experts: cholesterol rises in young people, and falls in old ones."""
    moe = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y)
    print("\n2. Two experts, to read:\n\n" + export_text(moe, X=X))
    matplotlib.use("agg")
    RegimesDisplay.from_estimator(moe, X, y).figure_.savefig("quickstart.png", dpi=150)
    print("\nquickstart.png shows the gate above and the model of each expert below.")


def keep_boosting(X, y):
    """A mixture on top of boosting: its error, and intervals that are right on both sides."""
    X, X_test, y, y_test = train_test_split(X, y, random_state=0)
    boosting = HistGradientBoostingRegressor(random_state=0)
    noise = np.std(y - cross_val_predict(boosting, X, y, cv=5))
    alone = norm(boosting.fit(X, y).predict(X_test), noise)
    moe = MixtureOfExpertsRegressor(2, base=boosting, random_state=0).fit(X, y)
    print("\n3. You have a boosting model? MixtureOfExpertsRegressor(base=model) keeps it:\n")
    print(f"{'held-out adults':<30}{'error':>8}{'below':>8}{'above':>8} the 90 % interval")
    for name, mean, (low, high) in [
        ("boosting with equal noise", alone.mean(), alone.interval(0.9)),
        ("mixture on boosting", moe.predict(X_test), moe.predict_interval(X_test, coverage=0.9).T),
    ]:
        print(f"{name:<30}{root_mean_squared_error(y_test, mean):>8.2f}", end="")
        print(f"{(y_test < low).mean():>8.1%}{(y_test > high).mean():>8.1%}")


if __name__ == "__main__":
    X, y = load_health_survey(return_X_y=True, as_frame=True)
    compare(X, y)
    read(X, y)
    keep_boosting(X, y)
