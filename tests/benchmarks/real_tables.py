"""Real tables that ship with skmoe and scikit-learn: where do regimes predict better or worse?

Defaults of all models, five folds, drawn again in each repetition; people and policies stay in one
fold. Errors are root mean squared errors, and mean Poisson deviances of counts. The density of
boosting is normal or negative binomial around its mean, with the noise of its out-of-fold errors.
Usage: python tests/benchmarks/real_tables.py [--repetitions 3] [--tables economy,irises]
"""

import argparse
import time
import warnings

import numpy as np
from markdown import print_table
from scipy.optimize import minimize_scalar
from scipy.stats import nbinom, norm
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, load_wine
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.metrics import mean_poisson_deviance, root_mean_squared_error
from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

from skmoe import MixtureOfExpertsRegressor, datasets


def of_frame(load, target, *dropped):
    """A column of a table of scikit-learn, given all other columns."""
    frame = load(as_frame=True).frame.drop(columns=list(dropped))
    return frame.drop(columns=target), frame[target], None


def wines():
    X, y, _ = of_frame(load_wine, "color_intensity", "target")
    return X[["alcohol", "flavanoids", "hue"]], y, None


def economy():
    """Changes of unemployment from quarter to quarter."""
    frame = datasets.load_us_economy(as_frame=True).frame
    X = frame[["inflation", "bill_rate"]].assign(
        growth=400 * np.log(frame["gdp"]).diff(), before=frame["unemployment"].shift()
    )
    return X[1:], frame["unemployment"].diff()[1:], None


def fund():
    bunch = datasets.load_property_fund(as_frame=True)
    deductible = np.log(bunch.data["deductible"])
    X = bunch.data.assign(deductible=deductible, size=np.log(bunch.exposure))
    return X, bunch.target, bunch.units


def visits():
    bunch = datasets.load_doctor_visits(as_frame=True)
    copayment = np.log1p(bunch.data["copayment"].clip(upper=95))
    return bunch.data.assign(copayment=copayment), bunch.target, bunch.units


def trial():
    """CD4 cells after 20 weeks."""
    bunch = datasets.load_hiv_trial(as_frame=True)
    return bunch.data, bunch.cd4_week_20, None


def survey():
    return *datasets.load_health_survey(return_X_y=True, as_frame=True), None


TABLES = {
    "wines: colour, three features": wines,
    "wines: colour": lambda: of_frame(load_wine, "color_intensity", "target"),
    "wines: alcohol": lambda: of_frame(load_wine, "alcohol", "target"),
    "irises: width of sepals": lambda: of_frame(load_iris, "sepal width (cm)", "target"),
    "diabetes: progression": lambda: of_frame(load_diabetes, "target"),
    "economy: change of unemployment": economy,
    "survey: cholesterol": survey,
    "trial: CD4 cells": trial,
    "fund: claims": fund,
    "visits: visits to a doctor": visits,
}
COUNTS = (fund, visits)
MODELS = ["linear", "hist. boosting", "boosting", "two experts", "mixture"]


def density_around(mean, y, y_train, out_of_fold, is_count):
    """Log density of y around means, with the noise of out-of-fold predictions."""
    if not is_count:
        return norm.logpdf(y, mean, np.std(y_train - out_of_fold))

    def log_prob(size, y, mean):
        return nbinom.logpmf(y, size, size / (size + np.maximum(mean, 1e-3)))

    best = minimize_scalar(
        lambda log_size: -log_prob(np.exp(log_size), y_train, out_of_fold).mean(), bounds=(-5, 5)
    )
    return log_prob(np.exp(best.x), y, mean)


def scores_of_fold(X, y, groups, fold, is_count):
    """Error and log density of each model on the held-out rows of a fold."""
    train, test = fold
    X_train, y_train, X_test, y_test = X.iloc[train], y.iloc[train], X.iloc[test], y.iloc[test]
    within = None if groups is None else groups.iloc[train]
    error = mean_poisson_deviance if is_count else root_mean_squared_error
    found = []
    for boosting in (HistGradientBoostingRegressor(random_state=0), GradientBoostingRegressor()):
        if is_count and isinstance(boosting, GradientBoostingRegressor):
            found.append((np.nan, np.nan))  # it has no loss for counts
            continue
        boosting.set_params(random_state=0, **({"loss": "poisson"} if is_count else {}))
        cv = 5 if within is None else list(GroupKFold(5).split(X_train, groups=within))
        out_of_fold = cross_val_predict(clone(boosting), X_train, y_train, cv=cv)
        mean = boosting.fit(X_train, y_train).predict(X_test)
        density = density_around(mean, y_test, y_train, out_of_fold, is_count)
        found.append((error(y_test, mean), density.mean()))
    family = "negative_binomial" if is_count else "normal"
    for n_experts in (1, 2, "auto"):
        moe = MixtureOfExpertsRegressor(n_experts, family=family, random_state=0)
        given = {"groups": within} if n_experts == "auto" and within is not None else {}
        moe.fit(X_train, y_train, **given)
        found.append((error(y_test, moe.predict(X_test)), moe.score_samples(X_test, y_test).mean()))
    return [found[2], *found[:2], *found[3:]]


def main():
    """Print errors and log densities of all tables, and in how many folds the mixture is best."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1)
    parser.add_argument("--tables", default="")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    rows, started = {}, time.process_time()
    for name, table in TABLES.items():
        if not any(name.startswith(part) for part in arguments.tables.split(",")):
            continue
        X, y, groups = table()
        folds = []
        for seed in range(arguments.repetitions):
            kind = KFold if groups is None else GroupKFold
            folds += kind(5, shuffle=True, random_state=seed).split(X, y, groups)
        found = np.array([scores_of_fold(X, y, groups, f, table in COUNTS) for f in folds])
        errors, densities = found[..., 0], found[..., 1]
        others = slice(0, 3)
        best = (errors[:, 4] < np.nanmin(errors[:, others], axis=1)) & (
            densities[:, 4] > np.nanmax(densities[:, others], axis=1)
        )
        won = f"{best.sum()} of {len(folds)}"
        rows[f"{name}, error"] = [*errors.mean(axis=0), won]
        rows[f"{name}, log density"] = [*densities.mean(axis=0), ""]
        seconds = time.process_time() - started
        print(f"{name}: {len(X)} rows, {seconds:.0f} s; {won}", errors.mean(axis=0), flush=True)
    print_table("table", [*MODELS, "best in both"], rows)


if __name__ == "__main__":
    main()
