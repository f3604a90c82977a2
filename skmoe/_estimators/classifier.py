"""MixtureOfExpertsClassifier."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.metaestimators import available_if

from skmoe._data.checks import class_weights
from skmoe._estimators.base import BaseMixtureOfExperts
from skmoe._estimators.capabilities import (
    check_first_classes,
    check_known_classes,
    supports_partial_fit,
)
from skmoe._estimators.dask_methods import score_of_prediction, supports_dask
from skmoe._estimators.tasks import Classification, validate_labels
from skmoe._numerics.typing import TINY, Array


def _supports_partial_fit(estimator: Any) -> bool:
    return supports_partial_fit(estimator, Classification.name)


class MixtureOfExpertsClassifier(ClassifierMixin, BaseMixtureOfExperts):
    r"""Mixture of experts for classification.

    The probability of class c given x is :math:`\sum_k g_k(x) p_k(c \mid x)`: a gate :math:`g`,
    softmax-linear in x, says which regime a row belongs to, and each regime has a multinomial
    logistic regression of its own, the expert [1]_. Both are trained together by EM, on the
    penalised log-likelihood [2]_.

    Parameters
    ----------
    n_experts : int or {"auto", "bic", "icl"}, default=4
        Number of experts. "auto" tries 1, 2, 3, ... on part of the rows and takes the smallest
        number whose log density of the other rows is within a standard error of the best; "bic"
        and "icl" take the number with the smallest criterion.
    expert : {"linear", "tree"}, family, estimator or list, default="linear"
        The kind of the experts: (multinomial) logistic regressions, a family object (see
        `skmoe.protocols.Experts`), classification trees, or any scikit-learn classifier with
        `predict_proba` that accepts `sample_weight`; one for all, or a list with one for each.
        Experts that are estimators are cross-fitted.
    specialize : bool, default=True
        False fits every entry of the list `expert` once to all rows, as a whole model, and trains
        the gate alone, on out-of-fold densities: stacking with weights that depend on the features
        [3]_. Entries may be mixtures, with their whole predictive distribution. `n_experts` is the
        length of the list then, `n_init` is not used, and `gate_alpha=10` is a good value.
    gate : {"softmax", "constant"} or gate object, default="softmax"
        The probability of each expert given the features. "constant" gives every row the same
        probabilities. An object must derive from `skmoe.protocols.Gate`.
    base : classifier or None, default=None
        A model to build on, such as boosted trees. Its out-of-fold log probabilities are additional
        features of experts and gate. It must accept `sample_weight` and have `predict_proba`.
    alpha : float, "auto", "ard" or None, default=None
        L2 penalty on the slopes of each linear expert, for standardised features: `1 / C` of
        `LogisticRegression`, typically 0.1 to 100. "auto" finds it by maximising the evidence,
        "ard" finds one for each feature and drops features that no expert needs. None for "auto",
        or for 10 on a `base`. Intercepts are free.
    gate_alpha : float, "auto", "ard" or None, default=None
        L2 penalty on the slopes of the gate, for standardised features; found as `alpha` is. None
        for "auto", or for 1 on a `base` or with experts that are estimators or objects.
    gate_features, expert_features : array-like, default=None
        Columns that the gate and the experts use: names, indices or a boolean mask; None for all.
        Parametric experts may use none, `expert_features=[]`: a latent class model.
    gate_aggregate : {None, "mean", "first"}, default=None
        How the gate's features of the rows of a unit (`units` in `fit`) become one row: their
        means, or those of the first row. None requires features that are constant in each unit.
    cross_fit : {"auto", "oob", False} or int, default="auto"
        Cross-fitting of experts that are estimators: responsibilities and noise variances are
        computed from out-of-fold predictions. "auto" uses 5 folds (2 for whole models of more than
        20 000 rows), an integer that many; "oob" uses out-of-bag predictions, which every expert
        must have (`oob_score=True`); False uses predictions of the training rows. Parametric
        experts are not cross-fitted.
    top_k : int, default=None
        Largest number of experts of a row, in training and in prediction; None for all. It may
        exceed a number of experts that is chosen by the fit.
    balance : float, default=0.0
        Weight of a pseudo-observation with uniform responsibilities that is added to each row for
        the gate. It favours equal use of the experts.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, which multiply those of the rows. "balanced" weighs classes
        inversely to their weighted frequency.
    init : {"auto", "linear_tree", "kmeans", "tree", "random"} or array-like, default="auto"
        Start of EM: leaves of a tree with linear models, k-means on features and classes, leaves of
        a tree, random cuts, or responsibilities of shape (n_samples, n_experts). "auto" is a linear
        tree for up to 8 experts and k-means for more, and takes the others in turn when `n_init` is
        larger.
    n_init : int, default=4
        Number of starts, at most 10 000.
    combine : {"best", "best_converged", "average"}, default="best"
        "best": all starts are run for a few iterations, the better half of them for more, and so on
        until the best is left (successive halving). "best_converged": all starts are run until they
        converge, and the best is kept; it takes longer, and the starts can be compared. "average":
        the predictive densities of all starts, each run until it converges, are averaged: one
        mixture of `n_init * n_experts` experts, which predicts better and is harder to read.
    max_iter : int, default=300
        Largest number of iterations of EM, with those of the search of penalties.
    tol : float, default=1e-4
        EM ends when the penalised log-likelihood per row still to be gained falls below `tol`, by
        Aitken's estimate.
    warm_start : bool, default=False
        Whether a fit continues the previous one, for at most `max_iter` more iterations. On the
        same rows a fit with parametric experts continues as if the previous one had not ended,
        bit for bit, unless `max_iter` cut the comparison of the starts short (15 iterations for two
        starts, 45 for four) or experts had collapsed, which a fit re-initialises at its end.
        Experts that are estimators continue from their models if data, folds and estimators are
        the same; otherwise they are fitted to the responsibilities of the previous fit.
    half_life : float, default=None
        For `partial_fit`: number of rows, or total weight, after which the weight of old rows is
        halved, so that the mixture follows a stream that changes. None weighs all rows equally.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the starts.
    n_jobs : int, default=None
        Starts, or fits of experts that are estimators, to run in parallel, through joblib. The
        result does not depend on it.
    verbose : int, default=0
        1 prints a line for each start, 2 for each iteration.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    base_ : estimator or None
        The fitted base model.
    n_experts_ : int
        Number of experts; of all starts together with `combine="average"`, those of the first
        start first.
    expert_names_ : list of str of length n_experts
        Names of the experts: those of `set_expert_names`, or "expert 0" and so on.
    experts_ : list of lists of estimators
        For experts that are estimators: the fitted models of each expert, one for each fold, whose
        probabilities are averaged; with `specialize=False`
        one model for each expert, fitted to all rows.
    coef_ : ndarray of shape (n_experts, n_features) or (n_experts, n_classes, n_features)
        Slopes of the logits of linear experts, in units of X: for two classes of the log odds of
        `classes_[1]`, for more of each class, summing to zero over the classes. Zero for features
        that experts do not see. They are no effects on `predict_proba`: give that, not the
        estimator, to tools that read `coef_`, such as `shap.Explainer`.
    intercept_ : ndarray of shape (n_experts,) or (n_experts, n_classes)
        Intercepts of the experts' logits.
    alpha_, gate_alpha_ : float or ndarray
        Penalties of experts and gate; with "ard" one for each feature (column of `gate_coef_`),
        infinite if dropped, NaN if unused. An average of starts has none: each start has its own.
    n_experts_tried_, n_experts_scores_ : ndarray of shape (n_numbers,)
        If the number of experts was selected: the numbers tried, and the mean log density of
        held-out rows, or the negative criterion.
    n_experts_score_errors_ : ndarray of shape (n_numbers,)
        With "auto": standard errors of the differences between these scores and the best one.
    gate_coef_ : ndarray of shape (n_experts, n_gate_features)
        Slopes of the gate's logits, in the units of X, for the columns `gate_feature_names_`. They
        sum to zero over the experts, and are zero for columns that the gate does not use.
    gate_feature_names_ : ndarray of shape (n_gate_features,)
        Names of the columns of `gate_coef_`: those of X (`"x0"`, `"x1"`, ... without names). Where
        experts accept missing values or categories, the gate uses numbers instead: columns with
        missing values replaced by their medians, `"missingindicator_size"` for the missing values
        of `"size"`, and `"city_rome"` for a category of `"city"`.
    gate_intercept_ : ndarray of shape (n_experts,)
        Intercepts of the gate's logits; log probabilities with `gate="constant"`.
    weights_ : ndarray of shape (n_experts,)
        Mean gate probability of each expert over the rows, or units, of the fit: in descending
        order, unless the user gave the order (a list of experts or families, or `init`).
    load_ : ndarray of shape (n_experts,)
        Weight of the rows that are routed to each expert: each row to the `top_k` most probable
        experts, or without `top_k` to the most probable one.
    lower_bound_ : float
        Penalised log-likelihood per row, which EM maximises.
    lower_bounds_ : ndarray of shape (n_iterations,)
        The same after each iteration of the kept start with the final penalties. It never falls.
    start_lower_bounds_ : ndarray of shape (n_init,)
        Lower bound of each start when it was dropped or selected. Only those of starts that have
        converged can be compared.
    start_converged_ : ndarray of bool of shape (n_init,)
        Whether EM converged in each start, before it was dropped or selected.
    start_traces_ : list of ndarray
        Lower bound of each start after each of its iterations; with more than 20 000 distinct rows
        on the sample of rows that serves for the initialisation.
    n_iter_ : int
        Number of iterations of the kept start, with those of the search of penalties.
    converged_ : bool
        Whether EM converged.
    n_parameters_ : float
        Number of free parameters; NaN for experts in which it cannot be counted.
    link_ : str
        Link of parametric experts: "logit".
    n_units_ : int
        Number of units, if `fit` was given any.
    feature_range_ : ndarray of shape (2, n_features)
        Smallest and largest value of each feature in the rows of the fit, of positive weight; after
        `partial_fit` in those of all batches. NaN for categories. `is_outside_range` uses it.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had names that are all strings.

    See Also
    --------
    MixtureOfExpertsRegressor : Mixture of linear regressions.
    sklearn.linear_model.LogisticRegression : What one expert is.

    Notes
    -----
    Missing values are accepted if every expert accepts them, as trees do; otherwise impute them in
    a pipeline. Products with a dense X in single precision are computed in single precision, and
    everything else in double precision.

    References
    ----------
    .. [1] R. A. Jacobs, M. I. Jordan, S. J. Nowlan and G. E. Hinton (1991), "Adaptive mixtures of
       local experts", Neural Computation 3, 79-87.
    .. [2] M. I. Jordan and R. A. Jacobs (1994), "Hierarchical mixtures of experts and the EM
       algorithm", Neural Computation 6, 181-214.
    .. [3] Y. Yao, G. Pirš, A. Vehtari and A. Gelman (2022), "Bayesian hierarchical stacking: some
       models are (somewhere) useful", Bayesian Analysis 17, 1043-1071.

    Examples
    --------
    The class follows the sign of x1 where x0 is negative, and the opposite where it is positive:
    no single linear rule can tell them apart.

    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsClassifier
    >>> X = np.random.default_rng(0).uniform(-1, 1, size=(400, 2))
    >>> y = np.where(X[:, 0] * X[:, 1] > 0, "same", "different")
    >>> moe = MixtureOfExpertsClassifier(n_experts=2, random_state=0).fit(X, y)
    >>> moe.score(X, y) > 0.95
    True
    >>> moe.predict([[0.5, 0.5], [0.5, -0.5]])
    array(['same', 'different'], dtype='<U9')
    """

    _default_alphas = 1.0, 10.0

    def __init__(
        self,
        n_experts: int | str = 4,
        *,
        expert: Any = "linear",
        specialize: bool = True,
        gate: Any = "softmax",
        base: Any = None,
        alpha: float | str | None = None,
        gate_alpha: float | str | None = None,
        gate_features: Any = None,
        expert_features: Any = None,
        gate_aggregate: str | None = None,
        cross_fit: int | str | bool = "auto",
        top_k: int | None = None,
        balance: float = 0.0,
        class_weight: Any = None,
        init: Any = "auto",
        n_init: int = 4,
        combine: str = "best",
        max_iter: int = 300,
        tol: float = 1e-4,
        warm_start: bool = False,
        half_life: float | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.n_experts = n_experts
        self.expert = expert
        self.specialize = specialize
        self.gate = gate
        self.base = base
        self.alpha = alpha
        self.gate_alpha = gate_alpha
        self.gate_features = gate_features
        self.gate_aggregate = gate_aggregate
        self.expert_features = expert_features
        self.cross_fit = cross_fit
        self.top_k = top_k
        self.balance = balance
        self.class_weight = class_weight
        self.init = init
        self.n_init = n_init
        self.combine = combine
        self.max_iter = max_iter
        self.tol = tol
        self.warm_start = warm_start
        self.half_life = half_life
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    @available_if(_supports_partial_fit)
    def partial_fit(
        self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None, units: Any = None
    ) -> Self:
        """Learn from a batch of a stream by online EM.

        The mixture is initialised on the first batch, of at least `n_experts` rows, and again
        whenever the number of rows has doubled, until there are 4000 (or `half_life`) rows, which
        are stored until then; a row of weight two counts twice. After `fit`, learning continues
        from the fit. Parameters other than `half_life` are those of the first call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features. They are standardised by their running moments.
        y : array-like of shape (n_samples,)
            Labels.
        classes : array-like of shape (n_classes,), default=None
            All classes of the stream; needed at the first call, unless `fit` was called before. The
            first batch should have rows of most of them.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`. All rows of a unit must be in one batch.

        Returns
        -------
        self : estimator
            The estimator. `weights_` and `load_` are of the rows of this batch, `n_iter_` counts
            batches, and `lower_bound_` is the mean log density of rows before they were used.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsClassifier
        >>> rng = np.random.default_rng(0)
        >>> moe = MixtureOfExpertsClassifier(n_experts=2, random_state=0)
        >>> for _ in range(20):
        ...     X = rng.uniform(-1, 1, size=(200, 2))
        ...     moe = moe.partial_fit(X, X[:, 0] * X[:, 1] > 0, classes=[False, True])
        >>> moe.predict([[0.5, 0.5], [0.5, -0.5]])
        array([ True, False])
        """
        if hasattr(self, "classes_"):
            classes = check_known_classes(classes, self.classes_)
        else:
            classes = check_first_classes(classes)
        return self._partial_fit(X, y, sample_weight, classes, units=units)

    @supports_dask
    def predict(self, X: Any, gate_proba: Any = None) -> Array:
        """Most probable class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts, such as `responsibilities(...).rows(units)` of units whose
            history is known. None for those of the gate.

        Returns
        -------
        y : ndarray of shape (n_samples,)
            Class labels.
        """
        probs = self.predict_proba(X, gate_proba=gate_proba)
        return self.classes_[np.argmax(probs, axis=1)]

    @supports_dask
    def predict_proba(self, X: Any, gate_proba: Any = None) -> Array:
        """Probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts, such as `responsibilities(...).rows(units)` of units whose
            history is known. None for those of the gate.

        Returns
        -------
        probs : ndarray of shape (n_samples, n_classes)
            Probabilities in the order of `classes_`.
        """
        X = self._validate_X(X)
        gate_prob = self._validate_gate_proba(gate_proba, X.shape[0])
        return self._fitted.predict(X, gate_prob=gate_prob).T

    @supports_dask
    def predict_log_proba(self, X: Any, gate_proba: Any = None) -> Array:
        """Log probability of each class.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts, such as `responsibilities(...).rows(units)` of units whose
            history is known. None for those of the gate.

        Returns
        -------
        log_probs : ndarray of shape (n_samples, n_classes)
            Natural logarithms of the probabilities, in the order of `classes_`.
        """
        return np.log(np.maximum(self.predict_proba(X, gate_proba=gate_proba), TINY))

    @supports_dask
    def predict_experts(self, X: Any) -> Array:
        """Class probabilities of each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        probs : ndarray of shape (n_samples, n_experts, n_classes)
            Probabilities in the order of `classes_`.
        """
        X = self._validate_X(X)
        return self._fitted.predict_experts(X).transpose(2, 0, 1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,)
            Observed labels.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        score : float
            Fraction of the rows whose class is predicted.
        """
        return score_of_prediction(self, self.predict(X), y, sample_weight)

    def _make_task(self) -> Classification:
        return Classification(class_weight=self.class_weight)

    def _validate_target(self, y: Any) -> Array:
        return validate_labels(y, self.classes_)

    def _effective_weight(self, target: Array, weight: Array) -> Array:
        return class_weights(self.class_weight, self.classes_, target, weight)

    def _response_names(self) -> list[str]:
        labels = [str(label) for label in self.classes_]
        return labels[1:] if len(labels) == 2 else labels  # log odds of the second of two
