"""Which models the stacks of the strong recipes should have.

Classification: each candidate predicts the rows of test_fold 2 to 5 from the other rows, and those
out-of-fold. Constant weights, found by EM from the out-of-fold probabilities, combine the models
of a stack. Models are added one at a time, each time the one with the lowest mean log loss over
the tables and folds. Printed are the losses of each candidate alone, of these stacks, and of the
stack of the recipe, with the CPU seconds of one fit of all models.

Regression: the recipe is compared with itself without each of its models on test_fold 2 and 3, by
error, loss, CRPS, coverage and CPU seconds as in accuracy.py.

Folds 0 and 1, which judge the recipes, take no part.
Usage: python tests/benchmarks/stacks.py --data DIR [--task classification regression]
"""

import time
import warnings

import numpy as np
from accuracy import FIGURES
from accuracy import judge as judge_regressor
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsClassifier
from skmoe.recipes import strong_classifier, strong_regressor

FOLDS = (2, 3, 4, 5)
N_FOLDS = 5
N_ITERATIONS = 200
SMALLEST = 1e-3
RECIPE = "model of the recipe"


def candidates():
    """Names and classifiers."""
    mixture, boosting = MixtureOfExpertsClassifier, HistGradientBoostingClassifier
    yield "logistic", make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    yield "mixture of 1", mixture(1, random_state=0)
    for k in (2, 3, 4):
        yield f"mixture of {k}", mixture(k, n_init=2, tol=1e-3, random_state=0)
    fixed = mixture(3, alpha=1.0, gate_alpha=1.0, n_init=2, tol=1e-3, random_state=0)
    yield "mixture of 3, fixed penalties", fixed
    small = boosting(learning_rate=0.05, max_leaf_nodes=15, l2_regularization=1.0, random_state=0)
    yield "boosting, small steps", small
    yield (
        "boosting, small trees",
        boosting(learning_rate=0.05, max_leaf_nodes=7, l2_regularization=10.0, random_state=0),
    )
    drawn = boosting(
        learning_rate=0.05,
        max_leaf_nodes=15,
        min_samples_leaf=10,
        max_features=0.3,
        l2_regularization=1.0,
        random_state=0,
    )
    yield "boosting, columns drawn", drawn
    for name, options in {
        "trees of two splits": {"learning_rate": 0.1, "max_iter": 300, "max_leaf_nodes": 3},
        "many steps": {"max_iter": 200, "max_features": 1.0},
        "many steps, half of the columns": {"max_iter": 200, "max_features": 0.5},
        "many small steps, columns drawn": {"max_iter": 300, "learning_rate": 0.03},
    }.items():
        yield f"boosting, {name}", clone(drawn).set_params(**options)
    base = boosting(learning_rate=0.05, max_leaf_nodes=7, l2_regularization=10.0, random_state=0)
    yield "mixture of 3 on boosting", mixture(3, base=base, n_init=1, tol=3e-3, random_state=0)
    for leaf in (1, 3):
        extra = ExtraTreesClassifier(
            100, min_samples_leaf=leaf, max_leaf_nodes=1000, random_state=0
        )
        yield f"extremely randomised trees, leaves of {leaf}", extra
        half = clone(extra).set_params(max_features=0.5)
        yield f"the same, half of the columns, leaves of {leaf}", half
    forest = RandomForestClassifier(100, min_samples_leaf=2, max_leaf_nodes=1000, random_state=0)
    yield "random forest", forest
    for name, model in strong_classifier().estimators:
        yield f"{RECIPE} {name}", clone(model).set_params(model__random_state=0)
    kernel = make_pipeline(
        StandardScaler(),
        Nystroem(n_components=200, random_state=0),
        LogisticRegression(C=10.0, max_iter=1000),
    )
    yield "kernel logistic", kernel


def probability_of_truth(proba, classes, y):
    """Of each row, (n,)."""
    proba = np.clip(proba, SMALLEST, 1.0)
    proba /= proba.sum(axis=1, keepdims=True)
    return proba[np.arange(len(y)), np.searchsorted(classes, y)]


def judge(model, X, y, X_test, y_test):
    """Probabilities of the true classes, out-of-fold and of test rows, and CPU seconds."""
    folds = StratifiedKFold(N_FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inside = cross_val_predict(model, X, y, cv=folds, method="predict_proba")
        begin = time.process_time()
        model = clone(model).fit(X, y)
        seconds = time.process_time() - begin
        outside = model.predict_proba(X_test)
    classes = np.unique(y)
    return (
        probability_of_truth(inside, classes, y),
        probability_of_truth(outside, classes, y_test),
        seconds,
    )


def loss_of_stack(inside, outside):
    """Log loss on test rows of the weights that EM finds from out-of-fold probabilities."""
    weights = np.full(inside.shape[1], 1.0 / inside.shape[1])
    for _ in range(N_ITERATIONS):
        joint = inside * weights
        weights = (joint / joint.sum(axis=1, keepdims=True)).mean(axis=0)
    return -np.log(outside @ weights).mean()


def stacks():
    """Names and variants of the strong regressor."""
    recipe = strong_regressor(random_state=0)
    yield "the recipe", recipe
    for name, _ in recipe.estimators:
        yield f"without {name}", clone(recipe).set_params(**{name: "drop"})


def compare_regressors(arguments):
    """Print the figures of the variants, as means over tables and folds."""
    found = {}
    tables = load_tables(arguments.data, "regression", arguments.only, arguments.most_rows)
    for table, X, y, fold in tables:
        for name, model in stacks():
            parts = [(X[fold != k], y[fold != k], X[fold == k], y[fold == k]) for k in FOLDS[:2]]
            figures = np.mean(
                [judge_regressor("regression", model, *part) for part in parts], axis=0
            )
            found.setdefault(name, []).append(figures)
            print(
                f"{table:<14}{name:<22}" + "".join(f"{value:>10.3f}" for value in figures),
                flush=True,
            )
    print(f"\n{'means':<36}" + "".join(f"{figure:>10}" for figure in FIGURES))
    for name, figures in found.items():
        print(f"{name:<36}" + "".join(f"{value:>10.3f}" for value in np.mean(figures, axis=0)))


def compare_classifiers(arguments):
    """Print the losses of candidates by table, and of stacks that grow."""
    found = []  # of each table and fold: name of candidate to inside, outside, seconds
    tables = load_tables(arguments.data, "classification", arguments.only, arguments.most_rows)
    for table, X, y, fold in tables:
        results = [{} for _ in FOLDS]
        for name, model in candidates():
            for k, result in zip(FOLDS, results, strict=True):
                result[name] = judge(model, X[fold != k], y[fold != k], X[fold == k], y[fold == k])
            loss = np.mean([-np.log(result[name][1]).mean() for result in results])
            seconds = np.mean([result[name][2] for result in results])
            print(f"{table:<14}{name:<50}{loss:8.4f}{seconds:8.2f} s", flush=True)
        found += results

    def figures(names):
        """Mean log loss and seconds of a stack."""
        losses = [
            loss_of_stack(*(np.column_stack([r[name][i] for name in names]) for i in (0, 1)))
            for r in found
        ]
        return np.mean(losses), np.mean([sum(r[name][2] for name in names) for r in found])

    names = [name for name, _ in candidates()]
    print("\nalone")
    for name in names:
        print(f"{name:<50}" + "{:8.4f}{:8.2f} s".format(*figures([name])))
    recipe = [name for name in names if name.startswith(RECIPE)]
    print(f"\n{'the recipe':<50}" + "{:8.4f}{:8.2f} s".format(*figures(recipe)))
    chosen, left = [], [name for name in names if name not in recipe]
    print("\nmodels added one at a time")
    while left and len(chosen) < arguments.most_models:
        best = min(left, key=lambda name: figures([*chosen, name])[0])
        chosen.append(best)
        left.remove(best)
        print(f"+ {best:<48}" + "{:8.4f}{:8.2f} s".format(*figures(chosen)), flush=True)


def main():
    """Compare models for the tasks of the command line."""
    parser = data_parser(__doc__)
    parser.add_argument("--task", choices=["regression", "classification"], nargs="*")
    parser.add_argument("--most-rows", type=int, default=800)
    parser.add_argument("--most-models", type=int, default=6)
    arguments = parser.parse_args()
    tasks = arguments.task or ["classification", "regression"]
    if "classification" in tasks:
        compare_classifiers(arguments)
    if "regression" in tasks:
        compare_regressors(arguments)


if __name__ == "__main__":
    main()
