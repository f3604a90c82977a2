"""MixtureOfExpertsRegressor."""

from __future__ import annotations

from typing import Any

from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from skmoe._data.checks import check_choice, check_real
from skmoe._estimators.base import BaseMixtureOfExperts
from skmoe._estimators.capabilities import supports_partial_fit
from skmoe._estimators.dask_methods import DaskScoreMixin, supports_dask
from skmoe._estimators.predictive_methods import PredictiveMixin
from skmoe._estimators.tasks import Regression, validate_outputs
from skmoe._numerics.typing import Array

VARIANCES = ("per_expert", "shared")


def _supports_partial_fit(estimator: Any) -> bool:
    return supports_partial_fit(estimator, Regression.name)


class MixtureOfExpertsRegressor(
    DaskScoreMixin, PredictiveMixin, RegressorMixin, BaseMixtureOfExperts
):
    r"""Mixture of experts for regression.

    The density of y given x is :math:`\sum_k g_k(x) N(y; \beta_k^T x, \sigma_k^2)`: a gate
    :math:`g`, softmax-linear in x, says which regime a row belongs to, and each regime has a linear
    regression of its own, the expert [1]_. Both are trained together by EM, on the penalised
    log-likelihood [2]_.

    Parameters
    ----------
    n_experts : int or {"auto", "bic", "icl"}, default=4
        Number of experts. "auto" tries 1, 2, 3, ... on part of the rows and takes the smallest
        number whose log density of the other rows is within a standard error of the best; "bic"
        and "icl" take the number with the smallest criterion.
    expert : {"linear", "tree"}, estimator or list of these, default="linear"
        What the experts are: linear regressions with normal noise, regression trees, or any
        scikit-learn regressor that takes `sample_weight`, one for all or a list of one for each.
        Experts that are estimators are cross-fitted.
    gate : {"softmax", "constant"} or gate object, default="softmax"
        How experts are chosen. "constant" gives every row the same probabilities: a mixture of
        regressions. An object must follow `skmoe.protocols.Gate`.
    base : regressor or None, default=None
        A model to build on, such as boosted trees. The mixture models what `base` leaves of y out
        of fold, and the gate also sees what it predicts; predictions and distributions are those of
        both together. It must accept `sample_weight`.
    alpha : float or None, default=None
        L2 penalty on the slopes of each linear expert, for standardised features, as in `Ridge`;
        None for 0.1, or for 10 on a `base`, which leaves little to slopes. Intercepts are free.
        Other experts do not use it.
    gate_alpha : float, default=1.0
        L2 penalty on the slopes of the gate, for standardised features. A gate object has its own.
    gate_features, expert_features : array-like, default=None
        Columns that the gate and the experts see: names, indices or a boolean mask; None for all.
    cross_fit : {"auto", "oob", False} or int, default="auto"
        Folds of cross-fitting, for experts that are estimators: responsibilities and noise are
        found from what each expert says of rows it was not fitted on. "auto" is 5 folds, False fits
        and judges experts on the same rows, "oob" uses out-of-bag predictions where an expert has
        them (`oob_score=True`). Linear experts do without.
    top_k : int, default=None
        Most experts for a row, in training and in prediction; None for all.
    balance : float, default=0.0
        Pull of the gate towards equal use of the experts, as pseudo-rows of uniform
        responsibilities for each row.
    variance : {"per_expert", "shared"}, default="per_expert"
        Whether each expert has a noise variance of its own.
    variance_prior : float, default=10.0
        Strength, in rows, of the inverse-gamma prior on each noise variance. Its scale is estimated
        from the data. Zero is maximum likelihood, in which an expert can collapse on a few rows.
    init : {"auto", "linear_tree", "kmeans", "tree", "random"} or array-like, default="auto"
        Start of EM: leaves of a tree with linear models, k-means on features and target, leaves of
        a regression tree, random cuts, or responsibilities of shape (n_samples, n_experts). "auto"
        is a linear tree for up to 8 experts and k-means for more, and takes the others in turn when
        `n_init` is larger.
    n_init : int, default=4
        Number of starts. Each is run for a few iterations, the better half for more, and so on
        until the best is left.
    combine : {"best", "average"}, default="best"
        Keep the best start, or average the predictive densities of all starts, each run until it
        converges: one mixture of `n_init * n_experts` experts, which predicts better and is harder
        to read.
    max_iter : int, default=200
        Largest number of iterations of EM.
    tol : float, default=1e-4
        EM ends when the penalised log-likelihood per row still to be gained falls below `tol`, by
        Aitken's estimate.
    warm_start : bool, default=False
        Whether to go on from the last fit, for at most `max_iter` more iterations. On the same rows
        linear experts go on as if the fit had not ended, to the last bit, unless `max_iter` cut the
        race of the starts short (15 iterations for two starts, 45 for four) or experts had died,
        which a fit revives at its end. Experts that are estimators go on from their models if data,
        folds and estimators are the same, and else are fitted anew to the responsibilities that the
        last fit finds.
    half_life : float, default=None
        For `partial_fit`: rows after which what was learnt counts half, so that the mixture follows
        a stream that changes. None forgets nothing.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the starts.
    n_jobs : int, default=None
        Starts, or fits of experts that are estimators, to run in parallel, through joblib. The
        result does not depend on it.
    verbose : int, default=0
        1 prints a line for each start, 2 for each iteration.

    Attributes
    ----------
    base_ : estimator or None
        The fitted base.
    n_experts_ : int
        Number of experts; of all starts together with `combine="average"`, those of the first
        start first.
    experts_ : list of lists of estimators
        For experts that are estimators: the fitted models of each expert, one for each fold, whose
        predictions are averaged.
    coef_ : ndarray of shape (n_experts, n_features) or (n_experts, n_outputs, n_features)
        Slopes of linear experts, in the units of X and y. Zero for features they do not see.
    intercept_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Intercepts of the experts.
    noise_variance_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Variance of y about each expert, in the squared units of y: out of fold for experts that are
        estimators, NaN for those with a density of their own, as nested mixtures have.
    n_experts_tried_, n_experts_scores_ : ndarray of shape (n_numbers,)
        Where the fit chose the number of experts: the numbers tried, and the mean log density of
        rows held out, or the negative criterion.
    gate_coef_ : ndarray of shape (n_experts, n_gate_features)
        Slopes of the gate's logits, in the units of X, for the columns `gate_feature_names_`. They
        sum to zero over the experts, and are zero for columns that the gate does not see.
    gate_feature_names_ : ndarray of shape (n_gate_features,)
        Names of the columns of `gate_coef_`: those of X (`"x0"`, `"x1"`, ... without names). Where
        experts take missing values or categories, the gate is offered numbers instead: columns with
        holes filled by their medians, `"missingindicator_size"` for the holes of `"size"`, and
        `"city_rome"` for a category of `"city"`.
    gate_intercept_ : ndarray of shape (n_experts,)
        Intercepts of the gate's logits; log probabilities with `gate="constant"`.
    weights_ : ndarray of shape (n_experts,)
        Mean gate probability of each expert over the rows of the fit.
    load_ : ndarray of shape (n_experts,)
        Weight of the rows that the gate sends to each expert: to the `top_k` most probable ones, or
        without routing to the most probable one.
    lower_bound_ : float
        Penalised log-likelihood per row, which EM raised.
    lower_bounds_ : ndarray of shape (n_iterations,)
        The same after each iteration of the kept start. It never falls.
    start_lower_bounds_ : ndarray of shape (n_init,)
        What each start had come to when it was dropped or chosen.
    start_traces_ : list of ndarray
        Lower bound of each start after each of its iterations. Of fits of more than 20 000 distinct
        rows, on the sample of rows that starts are found on.
    n_iter_ : int
        Number of iterations of the kept start.
    converged_ : bool
        Whether EM converged.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        Names of the features, if X had names that are all strings.

    See Also
    --------
    MixtureOfExpertsClassifier : Mixture of logistic regressions.
    sklearn.mixture.GaussianMixture : Mixture without covariates.

    Notes
    -----
    Missing values are taken where every expert takes them, as trees do; elsewhere, impute them in a
    pipeline. Products with a dense X in single precision are computed in it; all else is in double
    precision.

    References
    ----------
    .. [1] R. A. Jacobs, M. I. Jordan, S. J. Nowlan and G. E. Hinton (1991), "Adaptive mixtures of
       local experts", Neural Computation 3, 79-87.
    .. [2] M. I. Jordan and R. A. Jacobs (1994), "Hierarchical mixtures of experts and the EM
       algorithm", Neural Computation 6, 181-214.

    Examples
    --------
    Two regimes: y rises where x is below zero, and falls above.

    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> np.sort(moe.coef_[:, 0]).round(1)
    array([-1.,  1.])
    >>> moe.predict([[-2.0], [2.0]]).round(1)
    array([-1., -1.])
    """

    _default_alphas = 0.1, 10.0

    def __init__(
        self,
        n_experts=4,
        *,
        expert="linear",
        gate="softmax",
        base=None,
        alpha=None,
        gate_alpha=1.0,
        gate_features=None,
        expert_features=None,
        cross_fit="auto",
        top_k=None,
        balance=0.0,
        variance="per_expert",
        variance_prior=10.0,
        init="auto",
        n_init=4,
        combine="best",
        max_iter=200,
        tol=1e-4,
        warm_start=False,
        half_life=None,
        random_state=None,
        n_jobs=None,
        verbose=0,
    ):
        self.n_experts = n_experts
        self.expert = expert
        self.gate = gate
        self.base = base
        self.alpha = alpha
        self.gate_alpha = gate_alpha
        self.gate_features = gate_features
        self.expert_features = expert_features
        self.cross_fit = cross_fit
        self.top_k = top_k
        self.balance = balance
        self.variance = variance
        self.variance_prior = variance_prior
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

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @available_if(_supports_partial_fit)
    def partial_fit(self, X, y, sample_weight=None):
        """Learn from a batch of a stream by online EM.

        Starts are found on the first batch, of at least `n_experts` rows, and looked for again
        whenever there are twice as many rows, until there are 4000 (or `half_life`), which are kept
        until then. After `fit`, learning goes on from the fit. Parameters other than `half_life`
        are those of the first call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features. They are standardised by their running moments.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        self : estimator
            The estimator. `weights_` and `load_` are of the rows of this batch, `n_iter_` counts
            batches, and `lower_bound_` is the mean log density of rows before they were learnt.

        Examples
        --------
        >>> import numpy as np
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> rng = np.random.default_rng(0)
        >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0)
        >>> for _ in range(20):
        ...     X = rng.uniform(-1, 1, size=(200, 2))
        ...     moe = moe.partial_fit(X, np.abs(X[:, 0]))
        >>> moe.predict([[-0.5, 0.0], [0.5, 0.0]]).round(1)
        array([0.5, 0.5])
        """
        return self._partial_fit(X, y, sample_weight)

    @supports_dask
    def predict(self, X):
        """Mean of the mixture.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predicted mean, in the units of y.
        """
        X = self._validate_X(X)
        return self._squeeze_outputs(self._fitted.predict(X).T)

    @supports_dask
    def predict_experts(self, X):
        """Mean of each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.

        Returns
        -------
        means : ndarray of shape (n_samples, n_experts) or (n_samples, n_experts, n_outputs)
            Predicted means, in the units of y.
        """
        X = self._validate_X(X)
        return self._squeeze_outputs(self._fitted.predict_experts(X).transpose(2, 0, 1))

    def _squeeze_outputs(self, values: Array) -> Array:
        """Drop the last axis, of the outputs, if y had one dimension."""
        return values[..., 0] if self._single_output else values

    def _make_task(self) -> Regression:
        check_choice("variance", self.variance, VARIANCES)
        prior = check_real("variance_prior", self.variance_prior)
        return Regression(shared_variance=self.variance == "shared", variance_prior=prior)

    def _validate_target(self, y: Any) -> Array:
        return validate_outputs(y, self._n_outputs)

    @property
    def _n_outputs(self) -> int:
        scaling = self._fitted.preprocessor.target_scaling
        assert scaling is not None
        return len(scaling.center)

    def _response_names(self) -> list[str]:
        return [f"y{j}" for j in range(self._n_outputs)]
