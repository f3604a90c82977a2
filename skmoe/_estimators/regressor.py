"""MixtureOfExpertsRegressor."""

from __future__ import annotations

from typing import Any, Self

from sklearn.base import RegressorMixin
from sklearn.utils.metaestimators import available_if

from skmoe._data.checks import check_choice
from skmoe._estimators.base import BaseMixtureOfExperts
from skmoe._estimators.capabilities import supports_partial_fit
from skmoe._estimators.dask_methods import score_of_prediction, supports_dask
from skmoe._estimators.penalty_parameters import check_penalties
from skmoe._estimators.predictive_methods import PredictiveMixin
from skmoe._estimators.tasks import Regression, validate_outputs
from skmoe._numerics.typing import Array

DISPERSIONS = ("per_expert", "shared")


def _supports_partial_fit(estimator: Any) -> bool:
    return supports_partial_fit(estimator, Regression.name)


class MixtureOfExpertsRegressor(PredictiveMixin, RegressorMixin, BaseMixtureOfExperts):
    r"""Mixture of experts for regression.

    The density of y given x is :math:`\sum_k g_k(x) f_k(y; \beta_k^T x)`: a gate :math:`g`,
    softmax-linear in x, gives the probability of each regime, and each regime has a regression of
    its own, the expert [1]_. The conditional distribution :math:`f_k` is normal, or of another
    `family`. Gate and experts are trained together by EM, on the penalised log-likelihood [2]_.

    Parameters
    ----------
    n_experts : int or {"auto", "bic", "icl"}, default=4
        Number of experts. "auto" tries 1, 2, 3, ... on part of the rows and takes the smallest
        number whose log density of the other rows is within a standard error of the best; "bic"
        and "icl" take the number with the smallest criterion.
    expert : {"linear", "tree"}, estimator, object or list, default="linear"
        The form of the mean of each expert: a linear predictor, a regression tree, or any
        scikit-learn regressor that accepts `sample_weight`; one for all, or a list with one for
        each. Experts that are estimators are cross-fitted. An object of `skmoe.protocols.Experts`
        has a density of its own.
    family : str, Family or list, default="normal"
        The conditional distribution of y under an expert: "normal", "student_t" (heavy tails),
        "lognormal" or "gamma" (positive values), "poisson" or "negative_binomial" (counts), "zero"
        (the value 0) or "uniform" (any value in the range of y, for outliers); an object of
        `skmoe.families` such as `StudentT(df=4)`; or a list with one for each expert, such as
        `["zero", "poisson", "poisson"]` for a zero-inflated mixture. The mean of lognormal and
        gamma experts and of counts has a log link. In lists that contain "zero" and continuous
        families the density is with respect to the sum of Lebesgue measure and the point mass.
        Experts that are estimators predict the mean of y, and have one family that has a link.
    specialize : bool, default=True
        False fits every entry of the list `expert` once to all rows, as a whole model, and trains
        the gate alone, on out-of-fold densities: stacking with weights that depend on the features
        [5]_. Entries may be mixtures, with their whole predictive distribution. `n_experts` is the
        length of the list then, `n_init` is not used, and `gate_alpha=10` is a good value.
    gate : {"softmax", "constant"} or gate object, default="softmax"
        The probability of each expert given the features. "constant" gives every row the same
        probabilities: a mixture of regressions. An object must derive from `skmoe.protocols.Gate`.
    base : regressor or None, default=None
        A model to build on, such as boosted trees. The mixture models the out-of-fold residuals of
        `base`, and the gate also uses its predictions; predictions and distributions are those of
        both together. It must accept `sample_weight`. Under a log link its predictions, which must
        be positive, are factors of the means of the experts; with an `offset` it is fitted to y per
        unit of exposure. Experts of other links are refused.
    alpha : float, "auto", "ard" or None, default=None
        L2 penalty on the slopes of each expert with a linear predictor, for standardised features:
        of linear experts as in `Ridge`; typically 0.01 to 100. "auto" finds it by maximising the
        evidence, "ard" finds one for each feature and drops features that no expert needs [3]_
        [4]_. None for "auto", or for 10 on a `base`. Intercepts are free.
    gate_alpha : float, "auto", "ard" or None, default=None
        L2 penalty on the slopes of the gate, for standardised features; found as `alpha` is. None
        for "auto", or for 1 on a `base` or with experts that are estimators or objects.
    gate_features, expert_features : array-like, default=None
        Columns that the gate and the experts use: names, indices or a boolean mask; None for all.
        Parametric experts may use none, `expert_features=[]`: a latent class model.
    gate_aggregate : {None, "mean", "first"}, default=None
        How the gate's features of the rows of a unit (`units` in `fit`) become one row: their
        means, or those of the first row. None requires features that are constant in each unit.
    shared_features : array-like, default=None
        Columns whose slope is common to all experts with a linear predictor: names, indices or a
        boolean mask, among those of `expert_features`; None for none.
    cross_fit : {"auto", "oob", False} or int, default="auto"
        Cross-fitting of experts that are estimators: responsibilities and noise variances are
        computed from out-of-fold predictions. "auto" uses 5 folds (2 for whole models of more than
        20 000 rows), an integer that many; "oob" uses out-of-bag predictions, which every expert
        must have (`oob_score=True`); False uses those of the training rows. Not for linear experts.
    top_k : int, default=None
        Largest number of experts of a row, in training and in prediction; None for all. It may
        exceed a number of experts that is chosen by the fit.
    balance : float, default=0.0
        Weight of a pseudo-observation with uniform responsibilities that is added to each row for
        the gate. It favours equal use of the experts.
    dispersion : {"per_expert", "shared"}, default="per_expert"
        Whether each expert has dispersion parameters of its own, such as its noise variance.
    dispersion_prior : float or "auto", default=10.0
        Strength, in rows, of the inverse-gamma prior on each noise variance, squared scale,
        variance of log(y) or inverse shape; counts and ratings have none. Its scale is estimated
        from the data. Zero is maximum likelihood, in which an expert can collapse on a few rows.
        "auto" estimates both from the dispersions of the experts (Smyth 2004, see the user guide).
    init : {"auto", "linear_tree", "kmeans", "tree", "random"} or array-like, default="auto"
        Start of EM: leaves of a tree with linear models, k-means on features and target, leaves of
        a regression tree, random cuts, or responsibilities of shape (n_samples, n_experts). "auto"
        is a linear tree for up to 8 experts and k-means for more, and takes the others in turn when
        `n_init` is larger.
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
        Starts, or fits of estimators, to run in parallel by joblib. The result is the same.
    verbose : int, default=0
        1 prints a line for each start, 2 for each iteration.

    Attributes
    ----------
    base_ : estimator or None
        The fitted base model.
    n_experts_ : int
        Number of experts; with `combine="average"` those of all starts, start by start.
    expert_names_ : list of str of length n_experts
        Names of the experts: those of `set_expert_names`, or "expert 0" and so on.
    experts_ : list of lists of estimators
        For experts that are estimators: the fitted models of each expert, one for each fold, whose
        predictions are averaged; with `specialize=False` one for each expert, fitted to all rows.
    coef_ : ndarray of shape (n_experts, n_features) or (n_experts, n_outputs, n_features)
        Slopes of linear predictors, in the units of X and of y or its link. Zero for features that
        the experts do not use. They are no effects on `predict`, for which see `explain`: give
        `predict`, not the estimator, to tools that read `coef_`, such as `shap.Explainer`.
    intercept_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Intercepts of the experts.
    dispersion_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Dispersion of experts of other families: the squared scale of "student_t", in the squared
        units of y; the variance of log(y) of "lognormal"; the inverse shape of "gamma", whose
        variance is `dispersion_` times the squared mean; that of "negative_binomial", whose
        variance is the mean plus `dispersion_` times the squared mean. NaN for experts without.
    df_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Degrees of freedom of experts with `family="student_t"`, if they are estimated.
    alpha_, gate_alpha_ : float or ndarray
        Penalties of experts and gate; with "ard" one for each feature (column of `gate_coef_`),
        infinite if dropped, NaN if unused. An average of starts has none: each start has its own.
    dispersion_prior_ : float
        Strength of the prior on dispersions, in rows.
    noise_variance_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Variance of y about the mean of each expert with normal noise, in the squared units of y:
        out-of-fold for estimators, NaN for those with a density of their own, as mixtures have.
    n_experts_tried_, n_experts_scores_ : ndarray of shape (n_numbers,)
        If the number was selected: numbers tried, and held-out log densities or minus criteria.
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
    families_ : list of Family of length n_experts
        Families of experts with `family` other than "normal", in the units of y.
    link_ : str
        Link of parametric experts: "identity" or "log"; "" if it differs between the experts.
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
    MixtureOfExpertsClassifier : Mixture of logistic regressions.
    sklearn.mixture.GaussianMixture : Mixture without covariates.

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
    .. [3] S. Waterhouse, D. MacKay and T. Robinson (1996), "Bayesian methods for mixtures of
       experts", Advances in Neural Information Processing Systems 8, 351-357.
    .. [4] M. E. Tipping (2001), "Sparse Bayesian learning and the relevance vector machine",
       Journal of Machine Learning Research 1, 211-244.
    .. [5] Y. Yao, G. Pirš, A. Vehtari and A. Gelman (2022), "Bayesian hierarchical stacking: some
       models are (somewhere) useful", Bayesian Analysis 17, 1043-1071.

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
        n_experts: int | str = 4,
        *,
        expert: Any = "linear",
        family: Any = "normal",
        specialize: bool = True,
        gate: Any = "softmax",
        base: Any = None,
        alpha: float | str | None = None,
        gate_alpha: float | str | None = None,
        gate_features: Any = None,
        expert_features: Any = None,
        gate_aggregate: str | None = None,
        shared_features: Any = None,
        cross_fit: int | str | bool = "auto",
        top_k: int | None = None,
        balance: float = 0.0,
        dispersion: str = "per_expert",
        dispersion_prior: float | str = 10.0,
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
        self.family = family
        self.specialize = specialize
        self.gate = gate
        self.base = base
        self.alpha = alpha
        self.gate_alpha = gate_alpha
        self.gate_features = gate_features
        self.gate_aggregate = gate_aggregate
        self.expert_features = expert_features
        self.shared_features = shared_features
        self.cross_fit = cross_fit
        self.top_k = top_k
        self.balance = balance
        self.dispersion = dispersion
        self.dispersion_prior = dispersion_prior
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

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

    @available_if(_supports_partial_fit)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None, units: Any = None
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
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
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
        >>> from skmoe import MixtureOfExpertsRegressor
        >>> rng = np.random.default_rng(0)
        >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0)
        >>> for _ in range(20):
        ...     X = rng.uniform(-1, 1, size=(200, 2))
        ...     moe = moe.partial_fit(X, np.abs(X[:, 0]))
        >>> moe.predict([[-0.5, 0.0], [0.5, 0.0]]).round(1)
        array([0.5, 0.5])
        """
        return self._partial_fit(X, y, sample_weight, offset=offset, units=units)

    @supports_dask
    def predict(self, X: Any, offset: Any = None, gate_proba: Any = None) -> Array:
        """Mean of the mixture.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        gate_proba : array-like of shape (n_samples, n_experts), default=None
            Probabilities of the experts, such as `responsibilities(...).rows(units)` of units whose
            history is known. None for those of the gate.

        Returns
        -------
        y : ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Predicted mean, in the units of y.
        """
        X, offset = self._validate_X_offset(X, offset)
        gate_prob = self._validate_gate_proba(gate_proba, X.shape[0])
        return self._squeeze_outputs(self._fitted.predict(X, offset, gate_prob).T)

    @supports_dask
    def predict_experts(self, X: Any, offset: Any = None) -> Array:
        """Mean of each expert.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.

        Returns
        -------
        means : ndarray of shape (n_samples, n_experts) or (n_samples, n_experts, n_outputs)
            Predicted means, in the units of y.
        """
        X, offset = self._validate_X_offset(X, offset)
        return self._squeeze_outputs(self._fitted.predict_experts(X, offset).transpose(2, 0, 1))

    def score(self, X: Any, y: Any, sample_weight: Any = None, offset: Any = None) -> float:
        """Coefficient of determination of the predicted means.

        Parameters
        ----------
        X : {array-like, sparse matrix, dask collection} of shape (n_samples, n_features)
            Features.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Observed target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.

        Returns
        -------
        score : float
            R squared.
        """
        return score_of_prediction(self, self.predict(X, offset=offset), y, sample_weight)

    def _squeeze_outputs(self, values: Array) -> Array:
        """Drop the last axis, of the outputs, if y had one dimension."""
        return values[..., 0] if self._single_output else values

    def _make_task(self) -> Regression:
        check_choice("dispersion", self.dispersion, DISPERSIONS)
        prior = check_penalties(self, self._default_alphas).dispersion_prior.value
        return Regression(shared_dispersion=self.dispersion == "shared", dispersion_prior=prior)

    def _validate_target(self, y: Any) -> Array:
        return validate_outputs(y, self._n_outputs)

    @property
    def _n_outputs(self) -> int:
        scaling = self._fitted.preprocessor.target_scaling
        assert scaling is not None
        return len(scaling.center)

    def _response_names(self) -> list[str]:
        return [f"y{j}" for j in range(self._n_outputs)]
