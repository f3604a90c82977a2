"""Mixtures of few linear experts, whose regimes can be read."""

from __future__ import annotations

from typing import Any

from skmoe._estimators.classifier import MixtureOfExpertsClassifier
from skmoe._estimators.regressor import MixtureOfExpertsRegressor

# As many experts as a reader can keep track of, and penalties that maximise the evidence.
OPTIONS: dict[str, Any] = {
    "n_experts": range(1, 7),
    "alpha": "auto",
    "gate_alpha": "auto",
}


def readable_regressor(
    *,
    family: Any = "normal",
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> MixtureOfExpertsRegressor:
    """A mixture of few linear regressions, whose number is chosen by held-out log-likelihood.

    Use it when you want to know which regimes there are, and what the features do in each. It has
    at most six experts, of which a reader can keep track. Its penalties maximise the evidence. Read
    it by `summary`, `export_text` and the displays of `skmoe.inspection`: see "Reading a fit" in
    the user guide.

    Parameters
    ----------
    family : str or Family, default="normal"
        Conditional distribution of y under an expert, such as "negative_binomial" for counts, as in
        `MixtureOfExpertsRegressor`.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the starts. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Starts to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each start, 0 nothing.

    Returns
    -------
    regressor : MixtureOfExpertsRegressor
        Not fitted. It needs numbers without missing values.

    See Also
    --------
    strong_regressor : A stack of models that predicts better, and is harder to read.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from skmoe.recipes import readable_regressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> moe = readable_regressor(random_state=0).fit(X[:60], y[:60])
    >>> moe.n_experts_ <= 6
    True
    """
    options = OPTIONS | {"random_state": random_state, "n_jobs": n_jobs, "verbose": verbose}
    return MixtureOfExpertsRegressor(family=family, **options)


def readable_classifier(
    *, random_state: Any = None, n_jobs: int | None = None, verbose: int = 0
) -> MixtureOfExpertsClassifier:
    """A mixture of few logistic regressions; held-out log-likelihood selects their number.

    Use it when you want to know which regimes there are, and what the features do in each. It has
    at most six experts, of which a reader can keep track. Its penalties maximise the evidence. Read
    it by `summary`, `export_text` and the displays of `skmoe.inspection`: see "Reading a fit" in
    the user guide.

    Parameters
    ----------
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the starts. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Starts to run in parallel; -1 for all processors, None for one.
    verbose : int, default=0
        1 prints a line for each start, 0 nothing.

    Returns
    -------
    classifier : MixtureOfExpertsClassifier
        Not fitted. It needs numbers without missing values.

    See Also
    --------
    strong_classifier : A stack of models that predicts better, and is harder to read.

    Examples
    --------
    >>> from skmoe.recipes import readable_classifier
    >>> readable_classifier().n_experts
    range(1, 7)
    """
    options = OPTIONS | {"random_state": random_state, "n_jobs": n_jobs, "verbose": verbose}
    return MixtureOfExpertsClassifier(**options)
