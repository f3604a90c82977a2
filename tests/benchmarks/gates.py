"""Do gates that see features transformed pay, or experts that do?

Mixtures of four experts on every table, fitted on folds 1 to 9 and judged on fold 0: the default; a
gate that sees splines of the features, with a penalty of 1 and with one that is found; experts and
gate that do, by a pipeline; and the default with twice as many experts. Printed are the RMSE over
the spread of y, or the error rate, and the mean negative log density (log loss).
Usage: python tests/benchmarks/gates.py --data DIR
"""

import warnings

import numpy as np
from markdown import print_table
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import SplineTransformer, StandardScaler
from tables import data_parser, load_tables

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.gates import SoftmaxGate

KINDS = {
    "regression": MixtureOfExpertsRegressor,
    "classification": MixtureOfExpertsClassifier,
}


def mixtures(kind):
    """Names and mixtures to compare."""
    splines = SplineTransformer(n_knots=5, knots="quantile", extrapolation="linear")
    yield "default", kind(random_state=0)
    fixed = SoftmaxGate(alpha=1.0, transformer=splines)
    yield "splines in the gate, alpha=1", kind(gate=fixed, random_state=0)
    yield "splines in the gate", kind(gate=SoftmaxGate(transformer=splines), random_state=0)
    both = make_pipeline(StandardScaler(), splines, kind(random_state=0))
    yield "splines in both", both
    yield "8 experts", kind(8, random_state=0)


def judge(task, model, X, y, X_test, y_test):
    """Error and loss on rows that the fit has not seen."""
    model.fit(X, y)
    if isinstance(model, Pipeline):  # whose own score_samples knows no y
        X_test, model = model[:-1].transform(X_test), model[-1]
    if task == "classification":
        probs = np.clip(model.predict_proba(X_test), 1e-3, 1.0)
        loss = log_loss(y_test, probs / probs.sum(axis=1, keepdims=True))
        return (model.predict(X_test) != y_test).mean(), loss
    spread = y.std()
    error = np.sqrt(np.mean((y_test - model.predict(X_test)) ** 2)) / spread
    return error, -model.score_samples(X_test, y_test).mean() - np.log(spread)


def main():
    """Print a line for each table and mixture, and means over the tables."""
    parser = data_parser(__doc__)
    parser.add_argument("--most-rows", type=int, default=3000)
    arguments = parser.parse_args()
    for task, kind in KINDS.items():
        found = {}
        tables = load_tables(arguments.data, task, arguments.only, arguments.most_rows)
        for table, X, y, fold in tables:
            train = fold > 0
            for name, model in mixtures(kind):
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    judged = judge(task, model, X[train], y[train], X[~train], y[~train])
                found.setdefault(name, []).append(judged)
                print(f"{table:<14}{name:<30}{judged[0]:>8.3f}{judged[1]:>8.3f}", flush=True)
        means = {name: np.mean(judged, axis=0) for name, judged in found.items()}
        if means:
            n_tables = len(next(iter(found.values())))
            print_table(f"{task}, mean of {n_tables} tables", ["error", "loss"], means)


if __name__ == "__main__":
    main()
