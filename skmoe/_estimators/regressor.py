"""MixtureOfExpertsRegressor."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Self

from sklearn.utils.metaestimators import available_if

from skmoe._data.rows import Rows
from skmoe._estimators.base import BaseMixtureOfExperts
from skmoe._estimators.fitting.partial_fit import fit_batch, supports_partial_fit
from skmoe._estimators.methods.predictive import MixtureRegressorMixin


@dataclass(eq=False, repr=False)
class MixtureOfExpertsRegressor(MixtureRegressorMixin, BaseMixtureOfExperts):
    r"""Mixture of experts for regression.

    The density of y given x is :math:`\sum_k g_k(x) f_k(y; \beta_k^T x)`. The gate :math:`g`, a
    softmax of linear functions of x, gives the probability of each regime. Each regime has an
    expert, a regression of its own [1]_, with a normal distribution :math:`f_k` or another
    `family`. EM trains gate and experts together, by the penalised log-likelihood [2]_. See "The
    model" in the user guide, and "What makes a wine dark?" in the gallery.

    Parameters
    ----------
    n_experts : int, {"auto", "aic", "bic", "icl"} or list or range of int, default="auto"
        Number of experts, typically 1 to 10. "auto" tries 1 to 6, 8, 10, 12 and 15, or 1 to 6
        estimators. It takes the number with the largest held-out log-likelihood, less half of the
        number of parameters: for each expert six at least, and twelve at most. With `groups` it is
        the smallest number within two standard errors, of groups, of the best. It costs about five
        times a fit with that number. Candidates such as `range(1, 7)` are tried in increasing order
        in the same way. "aic", "bic" and "icl" minimise these criteria. At most a tenth of the rows
        is tried, and with fewer than 20 rows "auto" means one expert. Of more than 5,000 rows a
        sample is used. The number depends on the rows only, not on `random_state`. Where a list for
        each expert, `init` or `known_experts` has a number, or a warm start the previous one,
        "auto" is that number.
    expert : {"linear", "tree"}, estimator, object or list, default="linear"
        Form of the mean of each expert: a linear predictor (interpretable), a regression tree
        (needs more rows), or any scikit-learn regressor that accepts `sample_weight`. One for all
        experts, or a list with one for each. Experts that are estimators are cross-fitted. An
        object of `skmoe.protocols.Experts` has its own density, penalties and dispersion options.
    family : str, Family, list or dict, default="normal"
        Conditional distribution of y under an expert. For any numbers: "normal", or "student_t" if
        there are outliers. For positive numbers: "lognormal", "gamma" or "inverse_gaussian", and
        "weibull" or "exponential" for times. For amounts that are often 0: "tweedie". For shares
        between 0 and 1: "beta". For counts: "poisson" or "negative_binomial". For ratings:
        "ordinal", and for 0 and 1 "binary". Further: "zero" and "one" (the values 0 and 1),
        "uniform" (any value in the range of y), "never" (no event, of censored times). An object of
        `skmoe.families` has options, such as `StudentT(df=4)`. A list has a family for each expert,
        such as `["zero", "poisson"]` for excess zeros. A dict has one for each column of y, by name
        or number, such as `{"bmi": "normal", "smoker": "binary"}`: see "Several outcomes". Counts
        and positive numbers have a log link. Experts that are estimators predict the mean of y;
        they need one family for all, not "beta", "ordinal", "zero", "one", "never" or "uniform".
    gate : {"softmax", "constant", "markov"} or gate object, default="softmax"
        Probability of each expert given the features. "constant" gives all rows the same
        probabilities: a mixture of regressions. With "markov" experts persist in time: a hidden
        Markov model of the rows of each unit. Objects of `skmoe.gates` have options, such as
        `SoftmaxGate(top_k=2)` for two experts in each row, or `balance=0.05` for even shares. One
        of your own derives from `skmoe.protocols.Gate`.
    base : regressor or None, default=None
        A model to build on, such as boosted trees, that accepts `sample_weight`. The mixture models
        its out-of-fold residuals, and the gate also uses its predictions. Predictions and
        distributions are those of both together. Under a log link the experts multiply the
        predictions of the base, which must be positive; with an `offset` the base is fitted to y
        per unit of exposure. Experts of other links are refused.
    alpha : float, "auto", "ard" or None, default=None
        L2 penalty on the slopes of each linear predictor, for standardised features, as in `Ridge`;
        intercepts are free. Try 0.01 to 100; raise it if experts overfit. "auto" maximises the
        evidence; slopes of log dispersions then have a number of their own. With "ard" each feature
        of the means has a penalty, and features that no expert needs are dropped [3]_ [4]_. None is
        "auto". Experts that are objects have their own.
    gate_alpha : float, "auto", "ard" or None, default=None
        L2 penalty on the slopes of the gate, for standardised features. Try 0.1 to 100; raise it if
        the gate follows noise. "auto" and "ard" as for `alpha`. None is "auto", or 1 with experts
        that are estimators or objects. A number in a gate object is kept with None.
    gate_features, expert_features : array-like, default=None
        Columns that the gate and the experts use, such as `["age", "income"]`: names, indices or a
        boolean mask; None for all. Parametric experts may use none, `expert_features=[]`. A list
        of such lists has the columns of each linear expert, whose numbers are those of the list. A
        dict of such lists has the `expert_features` of each column of y.
    shared_features : array-like or dict, default=None
        Columns with the same slope in all experts, among the `expert_features`; None for none. A
        dict has the numbers of the experts that share a slope, such as `{"price": [0, 1]}`, or a
        mask of the experts. See
        "Effects that are zero or equal".
    dispersion_features : array-like or dict, default=None
        Columns on which the dispersion of each expert depends, such as its noise variance; None
        for the same dispersion in all rows. A dict has those of each column of y. The log of the
        dispersion is a linear predictor, whose slopes are bounded: dispersions of rows of the fit
        are neither zero nor infinite. In new rows far outside of these, dispersions end at bounds
        where numbers are finite. See "Noise that depends on features".
    monotonic_cst : array-like of int of shape (n_features,) or dict of str to int, default=None
        Signs of the slopes in all experts: 1 for increasing features, -1 for decreasing ones, 0 for
        others; or the signs by feature name. Features of the gate should have none. See "Effects
        of a known sign".
    dispersion : {"per_expert", "shared"}, default="per_expert"
        Whether each expert has dispersion parameters of its own, such as its noise variance.
    covariance_type : {"diag", "full"}, default="diag"
        Noise of several outputs, given the expert: independent, or with a full covariance matrix,
        as in `GaussianMixture`. "full" needs `family="normal"`, or "lognormal" for correlated
        logarithms. `dispersion="shared"` then shares the matrix. See "Several outputs".
    random_features : array-like, default=None
        Random effects of units: columns whose slopes differ between the units of a regime, beside
        an intercept of each unit. They are normal about the coefficients of its expert, as in a
        linear mixed model [5]_. `[]` is the random intercept alone, and None has no random effects.
        It needs `units=` in `fit`, `family="normal"`, and weights that are equal in the rows of a
        unit, whose copies they count. See "Trajectories with random effects".
    random_covariance : {"shared", "per_expert"}, default="shared"
        Whether all experts have one covariance matrix of the random effects. That of each expert
        needs more units, and an expert whose effects vary much can take those of others.
    dispersion_prior : float or "auto", default="auto"
        Strength, in rows, of the inverse-gamma prior on each noise variance, or other dispersion;
        counts and ratings have none. Covariance matrices have an inverse-Wishart prior, which draws
        correlations to zero. By "auto" the evidence determines strength and scale, from the
        dispersions of all experts: see "Penalties". With a number the scale is the error of one
        regression, far above the noise of clearly separate regimes: try 1 to 100. 0 is maximum
        likelihood, in which an expert can collapse on a few rows.
    cross_fit : {"auto", False} or int, default="auto"
        Folds of experts that are estimators, for responsibilities and noise variances from
        out-of-fold predictions. With "auto" there are 5. False uses predictions of training rows,
        for experts that cannot overfit.
    init : str or array-like, default="auto"
        Starts of EM. The default mixes kinds. Partitions are the leaves of a "linear_tree" or of a
        "tree", cells of "kmeans" on features and target, "random" cuts, and random "labels". With
        "few_rows" one expert has a few random rows, and with "elemental" each. All are near the
        fit of one expert with "perturbed". A thorough "search" for the best maximum has 100 starts,
        hundreds of exchanges of an expert, and restarts; it takes three to ten times as long. Or
        responsibilities, of shape (n_samples, n_experts). See "Starts and the maximum" in the user
        guide.
    n_init : int or "auto", default="auto"
        Number of starts, at most 10 000; with `init="search"` of searches. "auto" is 16, or 4 for
        estimators as experts, or one search. It is 36 for small tables, where rows times
        coefficients, experts times one plus the features, are at most 10 000. It is 8 for wide
        ones, where they are more than a million, although at most 30 rows per coefficient count.
        All starts are run for a few iterations, the best quarter of them (at most eight) for more,
        and then two; the better one is completed. Half of more than 8 "auto" starts move an expert
        of the best of the others to other rows.
    max_iter : int, default=300
        Largest number of iterations in all: of EM, of the search of penalties, and Newton steps.
        Raise it if `fit` gives a `ConvergenceWarning`.
    tol : float, default=1e-4
        EM stops when the penalised log-likelihood per row (in nats) still to be gained, by Aitken's
        estimate, is below `tol`. Newton steps then lead to the maximum; for these EM stops at 1e-4
        if `tol` is smaller, but not at 0, with which it makes all iterations. They are left out if
        the experts are estimators or the mixture is large: try 1e-3 for speed there, 1e-6 for
        accuracy.
    warm_start : bool, default=False
        Whether a fit begins at the parameters of the previous one, for at most `max_iter`
        iterations, instead of at new starts. Penalties that were found are kept if that fit has
        converged; otherwise their search goes on from them. Estimators continue from the
        responsibilities.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of the starts. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Starts, or fits of estimators, in parallel by joblib, with equal results; -1: all cores.
        Without jobs linear algebra of a fit takes one thread.
    verbose : int, default=0
        0 prints nothing, 1 a line for each start, 2 also a line for each iteration, of which the
        first 15 of all starts are one.

    Attributes
    ----------
    base_ : estimator or None
        The fitted base model.
    n_experts_ : int
        Number of experts.
    expert_names_ : list of str of length n_experts
        Names of the experts: those of `set_expert_names`, or "expert 0" and so on.
    expert_kinds_ : list of str of length n_experts
        Kinds of the experts: names of families, classes of estimators, or those in `expert`.
    experts_ : list of lists of estimators
        For experts that are estimators: the fitted models of each expert, one for each fold, whose
        predictions are averaged. Those that need a standardised y, such as `MLPRegressor` and
        `SVR`, are inside of a `TransformedTargetRegressor`.
    expert_coef_ : ndarray of shape (n_experts, n_features) or (n_experts, n_outputs, n_features)
        Slopes of linear predictors, in the units of X and of y or its link. Zero for features that
        the experts do not use. Effects on `predict` are those of `explain`.
    slopes_at_bound_ : ndarray of bool of the shape of `expert_coef_`
        With `monotonic_cst`: the slopes that are zero by their sign.
    expert_intercept_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Intercepts of the experts.
    dispersion_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Dispersion of experts of other families; NaN for experts without. Squared scale of
        "student_t", in squared units of y; variance of log(y) of "lognormal"; inverse shape of
        "gamma". The variance of "gamma" is `dispersion_` times the squared mean, and that of
        "negative_binomial" is larger by the mean. That of "inverse_gaussian" and "tweedie" is
        `dispersion_` times the mean to the power of three and of 1.5. Squared inverse shape of
        "weibull"; inverse precision of "beta". With `dispersion_features` it is that at their
        means, and so is `noise_variance_`.
    expert_dispersion_coef_ : ndarray of shape (n_experts, [n_outputs,] n_features)
        With `dispersion_features`: slopes of the log of `noise_variance_` or `dispersion_`, in the
        units of X.
    expert_dispersion_intercept_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        With `dispersion_features`: intercepts of these logs.
    df_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Degrees of freedom of experts with `family="student_t"`, if they are estimated.
    threshold_steps_ : ndarray of shape (n_experts, n_values - 2)
        Differences of successive thresholds of experts with `family="ordinal"`.
    coefficient_blocks_ : tuple
        What the experts estimate, as `LinearPredictor` and `Dispersion` of `skmoe.protocols`, which
        name the attributes of the numbers.
    alpha_, gate_alpha_ : float or ndarray
        Penalties of experts and gate; with "ard" one for each feature (column of `gate_coef_`),
        infinite if dropped, NaN if unused, as that of a constant gate or of one expert.
    dispersion_alpha_ : float
        Penalty of the slopes of log dispersions, with `dispersion_features`.
    dispersion_prior_ : float
        Strength of the prior on dispersions, in rows.
    noise_variance_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Variance of y about the mean of each expert with normal noise, in squared units of y. Of
        estimators it is out-of-fold, and NaN if they have a density of their own, as mixtures have.
    output_names_ : list of str
        Names of several outputs: the columns of y, or y0, y1, ...
    n_missing_ : dict of str to int
        If values of y are missing: their number in each output.
    last_time_ : ndarray of shape (n_outputs,)
        If y is right-censored: the last time of the rows, of an event or the end of an observation.
        Means of times are extrapolated beyond it.
    expert_covariance_ : ndarray of shape (n_experts, n_outputs, n_outputs)
        With `covariance_type="full"`: covariance matrix of the outputs, or of their logarithms,
        about the means of each expert.
    random_covariance_ : ndarray of shape (n_experts, [n_outputs,] 1 + n_slopes, 1 + n_slopes)
        With `random_features`: covariance matrix of the effects of a unit, the intercept first, in
        the units of X and y.
    n_experts_tried_, n_experts_scores_ : ndarray of shape (n_numbers,)
        If the number was selected: numbers tried, and minus criteria, or held-out log-likelihoods
        less the penalty of the experts, per row or unit. Those of estimators as experts are of
        out-of-fold predictions, less the coefficients of the gate. The best one is selected, with
        `groups` the smallest of `n_experts_ties_`.
    n_experts_score_errors_ : ndarray of shape (n_numbers,)
        With "auto": standard errors of the differences between these scores and the best one.
    n_experts_ties_ : ndarray of shape (n_ties,)
        With "auto": numbers whose scores are within two standard errors of the best one.
    gate_coef_ : ndarray of shape (n_experts, n_gate_features)
        Slopes of the gate's logits, in the units of X, for the columns `gate_feature_names_`. They
        sum to zero over the experts, and are zero for columns that the gate does not use. Tables
        have differences, which are log odds against a reference.
    gate_feature_names_ : ndarray of shape (n_gate_features,)
        Names of the columns of `gate_coef_`: those of X, or "x0", "x1", ... Missing values add an
        indicator such as "missingindicator_size"; a category is a column, such as "city_rome".
    gate_intercept_ : ndarray of shape (n_experts,)
        Intercepts of the gate's logits; log probabilities with `gate="constant"`.
    transition_matrix_ : ndarray of shape (n_experts, n_experts)
        With `gate="markov"`: probability of each expert (column) given that of the row before
        (row), at the means of the features.
    transition_coef_ : ndarray of shape (n_experts, n_experts, n_gate_features)
        With `gate="markov"`: slopes of the logits of each transition, in the units of X; their
        intercepts are `transition_intercept_`, of shape (n_experts, n_experts).
    initial_probabilities_ : ndarray of shape (n_experts,)
        With `gate="markov"`: probability of each expert in the first row of a series.
    weights_ : ndarray of shape (n_experts,)
        Mean gate probability of each expert over the rows, or units, of the fit. In descending
        order, of an average in each start, unless a list, `init` or `known_experts` gives another.
    lower_bound_ : float
        Penalised log-likelihood per row, which EM maximises.
    lower_bounds_ : ndarray of shape (n_iterations,)
        The same after each iteration of the kept start with the final penalties. It never falls.
    start_converged_ : ndarray of shape (n_starts,)
        Whether EM had converged when each start was dropped or selected.
    start_traces_ : list of ndarray
        Lower bound of each start after each of its iterations, at most on 20 000 distinct rows.
    maxima_ : Maxima
        How often the best value was reached by starts or searches, and which others were found.
    n_iter_ : int
        Number of iterations of the kept start, with those of the search of penalties and Newton
        steps at the end.
    converged_ : bool
        Whether the fit is at a maximum, at most 0.01 standard errors from it. Fits of estimators as
        experts, and of very many rows, converge by `tol`.
    n_parameters_ : float
        Number of free parameters; NaN for experts in which it cannot be counted.
    families_ : list of Family of length n_experts
        Families of experts with `family` other than "normal", in the units of y.
    link_ : str
        Link of parametric experts: "identity", "log" or "logit"; "" if they differ.
    n_units_, n_series_ : int
        Number of units, if `fit` was given any, or of series with `gate="markov"`.
    residual_correlation_ : float
        Intraclass correlation of the residuals of the rows of a unit, given its expert, of a fit
        with units. Near 0 if rows of a unit have no more in common than their expert.
    n_known_ : int
        Number of rows, or units, of which something is known by `known_experts`, if it was given.
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
    skmoe.GatedStackingRegressor : A gate for models that are fitted to all rows.
    skmoe.recipes.strong_regressor : A stack of models that predicts better.
    skmoe.inspection.export_text : The fit as equations.
    skmoe.metrics.log_density_scorer : The score for grid searches.

    Notes
    -----
    Missing values are accepted if every expert accepts them, as trees do; otherwise impute them in
    a pipeline. Only products with a dense X in single precision are computed in single precision.

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
    .. [5] N. M. Laird and J. H. Ware (1982), "Random-effects models for longitudinal data",
       Biometrics 38, 963-974.

    Examples
    --------
    Two regimes: y rises where x is below zero, and falls above.

    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> X = np.linspace(-3, 3, 200)[:, None]
    >>> y = 1 - np.abs(X[:, 0]) + 0.1 * np.sin(40 * X[:, 0])
    >>> moe = MixtureOfExpertsRegressor(n_experts=2, random_state=0).fit(X, y)
    >>> np.sort(moe.expert_coef_[:, 0]).round(1)
    array([-1.,  1.])
    >>> moe.predict([[-2.0], [2.0]]).round(1)
    array([-1., -1.])
    """

    class_weight: None = field(default=None, init=False)

    @available_if(supports_partial_fit)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        offset: Any = None,
        units: Any = None,
        known_experts: Any = None,
        half_life: float | None = None,
    ) -> Self:
        """Learn from a batch of a stream by online EM.

        The first batch needs at least `n_experts` rows. The mixture is fitted to it, and again to
        all rows whenever their number has doubled, until there are 4000 (or `half_life`) rows. Rows
        are stored until then. After `fit`, learning continues from the fit, which has the weight of
        its rows. The parameters are those of the first call.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features of the batch. They are standardised as in the rows that are stored, or in the
            fit.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Offset of the linear predictors, as in `fit`; None for 0.
        units : array-like of shape (n_samples,), default=None
            Units of the rows, as in `fit`. All rows of a unit must be in one batch.
        known_experts : array-like of shape (n_samples,) or (n_samples, n_experts), default=None
            Experts of rows for which they are known, as in `fit`.
        half_life : float, default=None
            Rows, or total weight, after which the weight of earlier rows is halved, such as 1000
            for a stream that changes. None weighs all rows equally; 0 those of the batch alone.

        Returns
        -------
        self : estimator
            The estimator. `weights_` are of the rows of this batch, `n_iter_` counts batches, and
            `lower_bound_` is the mean log density of rows before they were used; of those of a fit
            after it.

        Raises
        ------
        ValueError
            If `half_life` is negative, or the batch or a parameter does not suit a
            stream.

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
        rows = Rows(X, y, sample_weight, offset, units, possible=known_experts)
        return fit_batch(self, rows, half_life)
