"""Comparing numbers of experts: a test of K against K + 1 experts, and a table."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmoe._data.checks import check_frequencies, check_integer, check_n_jobs, shown
from skmoe._data.rows import Rows
from skmoe._estimators.methods.draws import draw_target
from skmoe._estimators.parameters.conflicts import (
    ESTIMATORS,
    INIT,
    LIST,
    SELECTION,
    SLOPES,
    TEST,
    check_conflicts,
    chosen_options,
)
from skmoe._estimators.parameters.parameters import check_verbose
from skmoe._estimators.rows.training_data import (
    TrainingData,
    chosen_rows,
    merge_copies,
    present_rows,
    validate_training_data,
)
from skmoe._estimators.selection.n_experts import Trial, fit_trial
from skmoe._inference.coefficients import require_distribution
from skmoe._inference.comparisons import NExpertsTable, NExpertsTest
from skmoe.exceptions import NumberOfExpertsWarning, warn_user
from skmoe.model_selection import _nested as nested
from skmoe.protocols import Experts

# Fraction of failed searches among the bootstrap samples from which a warning is given. Under
# penalties some are to be expected.
MAX_FAILED_FRACTION = 0.5


def n_experts_test(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    units: Any = None,
    time: Any = None,
    offset: Any = None,
    var_weights: Any = None,
    n_experts: int | None = None,
    n_bootstrap: int = 99,
    n_exceedances: int | None = 10,
    random_state: Any = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> NExpertsTest:
    """Parametric bootstrap likelihood-ratio test of K experts against K + 1.

    It tests whether there are more than K regimes. See "How many experts" in the user guide.

    The statistic is twice the difference of the log-likelihoods of fits of K + 1 and of K experts.
    Under K experts it has no chi-squared distribution, since the parameters of a superfluous expert
    are not identified. Its distribution is therefore simulated [1]_: targets are drawn from the
    fit of K experts, and both numbers are fitted to each. The p-value is the fraction of statistics
    at least as large as that of the data, which counts as one of them unless the test stops early.

    It stops once `n_exceedances` bootstrap samples have a statistic at least as large as that of
    the data [2]_: a large p-value needs few of them. For a selection of the number, test 1 expert
    against 2, then 2 against 3, and stop at the first p-value above the level [3]_.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        With parametric experts, such as `expert="linear"`. It is cloned, and not fitted. A pipeline
        that ends in one is accepted too: its other steps are fitted once.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features, which stay as they are in all bootstrap samples.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target; labels for a classifier.
    sample_weight : array-like of shape (n_samples,), default=None
        Integers, which count rows: a weight of two is the row twice.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`: all rows of a unit are fitted to, and drawn from, one
        expert. None for a unit of each row.
    time : array-like of shape (n_samples,), default=None
        Refused, since it orders rows of series (`gate="markov"`), which have no such test.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors, as in `fit`.
    var_weights : array-like of shape (n_samples,), default=None
        Numbers of values of which each y is the mean, as in `fit`.
    n_experts : int, default=None
        Number of experts K of the null hypothesis, at least 1; None for that of the estimator.
    n_bootstrap : int, default=99
        Largest number of bootstrap samples. The smallest p-value is 1 / (n_bootstrap + 1): 99 serve
        a level of 5 %, and 499 or 999 a level of 1 %.
    n_exceedances : int or None, default=10
        Number of bootstrap samples with a statistic at least as large as that of the data after
        which the test stops. With 10 of 99 all tests with a p-value below 0.1 use all samples. None
        draws all of them.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of starts and bootstrap samples; that of the estimator is not used.
    n_jobs : int, default=None
        Bootstrap samples to draw and fit in parallel, through joblib; -1 for all processors, None
        for one. The result does not depend on it.
    verbose : int, default=0
        1 prints the progress, 0 nothing.

    Returns
    -------
    result : NExpertsTest
        With `statistic`, `p_value`, `replicates`, `log_likelihoods` and `n_experts`. Printed, it is
        a sentence. A p-value below 0.05 means that K + 1 experts fit significantly better.

    Raises
    ------
    TypeError
        If the estimator is neither a mixture of experts nor a pipeline that ends in one.
    ValueError
        If the number of experts is not an integer, or if the experts are estimators, lists, or have
        no predictive distribution. The test needs an estimator without `base`, `top_k`,
        `class_weight` and an array `init`. It needs all rows in memory, and
        weights that are integers. Also if another argument is invalid.

    Warns
    -----
    ConvergenceWarning
        If a fit to the data has not converged within `max_iter` iterations of the estimator.
    NumberOfExpertsWarning
        If in more than half of the bootstrap samples no fit of K + 1 experts has the likelihood of
        K experts: strong penalties, or too few starts.

    See Also
    --------
    MixtureOfExpertsRegressor : With `n_experts="auto"` or `"bic"` the number is selected in `fit`.

    Notes
    -----
    The likelihoods have no penalties, and are those at the penalised estimates (`alpha`,
    `gate_alpha`, `balance`, `dispersion_prior`), also in the bootstrap. Strong penalties make the
    test conservative: they keep a further expert close to the others. All fits have the same
    penalties. Where `fit` finds them, also with "auto" and "ard", they are those from which its
    search starts: `alpha=0.1` (1 for a classifier), `gate_alpha=1` and `dispersion_prior=10`.
    Statistics below the tolerance of EM, 0.04 or less, count as 0.

    K + 1 experts are fitted from the fit of K experts with one expert split in two, and from the
    starts of any fit (`init`, `n_init`). The larger likelihood counts. If it is smaller than that
    of K experts, a thorough search follows. If that fails too, which penalties can cause, the
    statistic counts as 0; `n_failed_searches` of the result is the number of such samples. A small
    `n_init` biases the statistics downwards, those of the data and of the bootstrap alike. EM runs
    until less than 0.02 of the log-likelihood remain to be gained, or `tol` per row if that is
    less. The time is about `2 * n_bootstrap` fits.

    Drawn times are censored as those of the rows: where the event was seen, the end of the
    observation is drawn from its Kaplan-Meier estimate beyond it, the same for all rows [4]_. Times
    between two inspections, and rows of units that enter later, have no test.

    References
    ----------
    .. [1] G. J. McLachlan (1987), "On bootstrapping the likelihood ratio test statistic for the
       number of components in a normal mixture", Applied Statistics 36, 318-324.
    .. [2] J. Besag and P. Clifford (1991), "Sequential Monte Carlo p-values", Biometrika 78,
       301-304.
    .. [3] K. L. Nylund, T. Asparouhov and B. O. Muthen (2007), "Deciding on the number of classes
       in latent class analysis and growth mixture modeling", Structural Equation Modeling 14,
       535-569.
    .. [4] A. C. Davison and D. V. Hinkley (1997), "Bootstrap Methods and their Application",
       Cambridge University Press, sections 3.5 and 7.3.

    Examples
    --------
    Two regimes are found in a target that falls on one side and rises on the other:

    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import n_experts_test
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-2, 2, size=(30, 1))
    >>> y = np.abs(X[:, 0]) + 0.2 * rng.normal(size=30)
    >>> moe = MixtureOfExpertsRegressor(n_experts=1, n_init=1)
    >>> n_experts_test(moe, X, y, n_bootstrap=19, random_state=0)
    2 experts against 1: likelihood ratio statistic ..., p = 0.05 (19 bootstrap samples). 2 experts
    fit significantly better than 1, at the level of 5 %. This p-value is the smallest that so many
    samples can give: for a smaller one, raise n_bootstrap.
    """
    nested.check_is_mixture("estimator", estimator)
    given = Rows(X, y, sample_weight, offset, units, time=time, n_values=var_weights)
    given, estimator, _ = nested.without_steps("n_experts_test", estimator, given)
    seed, seeds = nested.check_draws(n_bootstrap, n_exceedances, random_state)
    n_jobs, verbose = check_n_jobs(n_jobs), check_verbose("verbose", verbose)
    tested, data = _validated(estimator, n_experts, given)
    test = LikelihoodRatioTest(tested, data.rows.n_rows)
    null = test.fit_null(data, seed)
    observed = test.ratio(null, data, seed)
    if not observed.converged:
        warn_user(
            f"EM did not converge in max_iter={tested.max_iter} iterations on the data: "
            "the statistics may be too small. Increase max_iter.",
            ConvergenceWarning,
        )
    draw, limits = partial(test.replicate, null, data), (n_exceedances, observed.statistic)
    replicates, p_value = nested.draw_sequentially(draw, seeds, *limits, (n_jobs, verbose))
    n_failed = sum(replicate.is_failed for replicate in replicates)
    if n_failed > MAX_FAILED_FRACTION * len(replicates):
        warn_user(
            f"In {n_failed} of {len(replicates)} bootstrap samples no fit of one more expert has a "
            "likelihood as large as without it; their statistics count as 0, which may make the "
            "p-value too small. Increase n_init, or use smaller penalties.",
            NumberOfExpertsWarning,
        )
    of_data = test.n_experts, np.array(observed.log_likelihoods), observed.statistic, p_value
    statistics = np.array([replicate.statistic for replicate in replicates])
    return NExpertsTest(*of_data, statistics, n_bootstrap, n_failed)


def _validated(estimator: Any, n_experts: Any, given: Rows) -> tuple[Any, TrainingData]:
    """A clone with K experts, and rows in memory to which K + 1 can be fitted.

    Rows of weight two are there twice.
    """
    chosen = {TEST: TEST} | chosen_options(estimator)
    if n_experts is not None:
        chosen.pop(SELECTION, None)
    check_conflicts(chosen)
    number = estimator.n_experts if n_experts is None else n_experts
    fewer = check_integer("n_experts", number, least=1)
    more = clone(estimator).set_params(n_experts=fewer + 1)
    params = more._validate_parameters()
    check_conflicts({TEST: TEST} | chosen_rows(params, given))
    if isinstance(params.family, Experts):
        require_distribution(params.family, TEST)
    data = validate_training_data(more, params, given)
    merge_copies(params, present_rows(params, data))  # refuses more experts than distinct rows
    check_frequencies(TEST, data.rows.weight)
    index = np.repeat(np.arange(data.rows.n_rows), data.rows.weight.astype(int))
    return more.set_params(n_experts=fewer), data.select(index, np.ones(len(index)))


def n_experts_table(
    estimator: Any,
    X: Any,
    y: Any,
    n_experts: Any = range(1, 7),
    *,
    sample_weight: Any = None,
    offset: Any = None,
    units: Any = None,
    time: Any = None,
    var_weights: Any = None,
    groups: Any = None,
    init: Any = "search",
    n_bootstrap: int | None = None,
    verbose: int = 0,
) -> NExpertsTable:
    """Criteria of fits with several numbers of experts.

    Each number is fitted to all rows, by a thorough search for the best maximum. See "How many
    experts" in the user guide.

    Parameters
    ----------
    estimator : MixtureOfExpertsRegressor or MixtureOfExpertsClassifier
        With parametric experts, such as `expert="linear"`. It is cloned, and not fitted. A pipeline
        that ends in one is accepted too: its other steps are fitted once.
    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Features.
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Target; labels for a classifier.
    n_experts : iterable of int, default=range(1, 7)
        Numbers of experts.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, which count them: a weight of two is the row twice.
    offset : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Offset of the linear predictors, as in `fit`.
    units : array-like of shape (n_samples,), default=None
        Units of the rows, as in `fit`. Each unit then counts once: it is one observation for the
        criteria, entropy, shares and probabilities.
    time : array-like of shape (n_samples,), default=None
        Order of the rows of series, as in `fit` with `gate="markov"`.
    var_weights : array-like of shape (n_samples,), default=None
        Numbers of values of which each y is the mean, as in `fit`.
    groups : array-like of shape (n_samples,), default=None
        Groups of the rows, as in `fit`, for the folds of a `base`.
    init : str or None, default="search"
        Initialisation of the fits; None for that of the estimator, which is quicker.
    n_bootstrap : int or None, default=None
        Largest number of bootstrap samples of the test of each number against one expert fewer, by
        `n_experts_test`; None for no tests.
    verbose : int, default=0
        1 prints a line after each fit, and the progress of tests.

    Returns
    -------
    table : NExpertsTable
        Printed, it is a text; `to_frame` returns a frame with a row for each number, and
        `estimators` has the fits.

    Raises
    ------
    TypeError
        If the estimator is neither a mixture of experts nor a pipeline that ends in one.
    ValueError
        If the experts are estimators or a list, and if `n_experts` has no number. Also where `fit`
        or `n_experts_test` raises it.

    Warns
    -----
    ConvergenceWarning
        As `fit` does, with the number of experts.

    See Also
    --------
    n_experts_test : A test of K experts against K + 1.

    Notes
    -----
    L is the log-likelihood without penalties, p the number of parameters, n the number of rows (the
    sum of the weights) or units, and E the entropy of the responsibilities. Of the criteria the
    smallest value is best:

    - AIC = 2 p - 2 L.
    - BIC = p log n - 2 L [1]_.
    - SABIC = p log((n + 2) / 24) - 2 L, adjusted for the sample size [2]_.
    - CAIC = p (log n + 1) - 2 L, the consistent AIC [3]_.
    - AWE = p (3 + 2 log n) - 2 L + 2 E, the approximate weight of evidence [4]_.
    - ICL = p log n - 2 L + 2 E.

    The relative entropy 1 - E / (n log K) is 1 if each row belongs to one expert with certainty,
    and 0 if all experts are equally probable [5]_. `smallest_share` is the smallest share of an
    expert, and `mean_probability` the mean probability of the most probable expert of a row.
    `smallest_probability` is the smallest of these means over the rows of one expert. The odds of
    correct classification divide the odds of that mean by those of the expert's share [7]_. Reports
    of groups of trajectories have them, with probabilities above 0.7 and odds above 5 as a rule
    [8]_. With units all of them are of units. `residual_correlation` is then that of the residuals
    of a unit given its expert. If it falls slowly with the number of experts, units differ by
    degrees, and the numbers that criteria select are too large.
    `n_reached` of `n_runs` starts or searches reached the best value (`maxima_`). A p-value below
    0.05 means that K experts fit significantly better than K - 1. In simulations BIC and the test
    found the number of classes most often [6]_.

    The estimates are penalised. Where `fit` finds the penalties, each number has its own; give
    small ones, such as `alpha=0.1` and `gate_alpha=0.1`, for criteria near maximum likelihood.

    References
    ----------
    .. [1] G. Schwarz (1978), "Estimating the dimension of a model", Annals of Statistics 6,
       461-464.
    .. [2] S. L. Sclove (1987), "Application of model-selection criteria to some problems in
       multivariate analysis", Psychometrika 52, 333-343.
    .. [3] H. Bozdogan (1987), "Model selection and Akaike's information criterion (AIC): the
       general theory and its analytical extensions", Psychometrika 52, 345-370.
    .. [4] J. D. Banfield and A. E. Raftery (1993), "Model-based Gaussian and non-Gaussian
       clustering", Biometrics 49, 803-821.
    .. [5] G. Celeux and G. Soromenho (1996), "An entropy criterion for assessing the number of
       clusters in a mixture model", Journal of Classification 13, 195-212.
    .. [6] K. L. Nylund, T. Asparouhov and B. O. Muthen (2007), "Deciding on the number of classes
       in latent class analysis and growth mixture modeling", Structural Equation Modeling 14,
       535-569.
    .. [7] D. S. Nagin (2005), "Group-based modeling of development", Harvard University Press,
       chapter 5.
    .. [8] R. van de Schoot, M. Sijbrandij, S. D. Winter, S. Depaoli and J. K. Vermunt (2017), "The
       GRoLTS-checklist: guidelines for reporting on latent trajectory studies", Structural Equation
       Modeling 24, 451-467.

    Examples
    --------
    >>> import numpy as np
    >>> from skmoe import MixtureOfExpertsRegressor
    >>> from skmoe.model_selection import n_experts_table
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-2, 2, size=(60, 1))
    >>> y = np.abs(X[:, 0]) + 0.2 * rng.normal(size=60)
    >>> moe = MixtureOfExpertsRegressor(n_init=1, random_state=0)
    >>> table = n_experts_table(moe, X, y, [1, 2])
    >>> table.best("bic")
    2
    """
    nested.check_is_mixture("estimator", estimator)
    rows = Rows(X, y, sample_weight, offset, units, time=time, n_values=var_weights)
    rows, estimator, pipeline = nested.without_steps("n_experts_table", estimator, rows)
    tabulated = estimator if init is None else clone(estimator).set_params(init=init)
    chosen = chosen_options(tabulated)
    chosen.pop(SELECTION, None)
    fixed = {option: chosen[option] for option in chosen.keys() & {ESTIMATORS, INIT, LIST, SLOPES}}
    check_conflicts({TEST: "n_experts_table"} | fixed)
    verbose = check_verbose("verbose", verbose)
    listed = list(n_experts) if isinstance(n_experts, Iterable) else []
    if not listed or isinstance(n_experts, str):
        raise ValueError(
            "n_experts must be a list of at least one number, such as range(1, 7); got "
            f"{shown(n_experts)}. Pass [3] for three experts only."
        )
    numbers = sorted({check_integer("n_experts", number, least=1) for number in listed})
    if n_bootstrap is not None:
        check_integer("n_bootstrap", n_bootstrap, least=1)
        check_conflicts({TEST: "n_bootstrap"} | chosen)
    given, in_folds = rows.arguments, {} if groups is None else {"groups": groups}
    fits, statistics, p_values = [], [], []
    for number in numbers:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            of_number = clone(tabulated).set_params(n_experts=number)
            fitted = of_number.fit(rows.X, y, **given, **in_folds)
        for warning in caught:
            warn_user(f"With n_experts={number}: {warning.message}", warning.category)
        fits.append(fitted)
        statistics.append(fitted._criteria("n_experts_table", rows))
        p_value = np.nan
        if n_bootstrap is not None and number > 1:
            test = {"n_bootstrap": n_bootstrap, "n_jobs": estimator.n_jobs, "verbose": verbose}
            test |= {"n_experts": number - 1, "random_state": estimator.random_state}
            p_value = n_experts_test(estimator, rows.X, y, **given, **test).p_value
        p_values.append(p_value)
        if verbose:
            print(f"{number} experts: BIC {statistics[-1].numbers['bic']:.6g}. {fitted.maxima_}")
    table = NExpertsTable(fits, statistics, p_values)
    table.estimators = [nested.with_mixture(pipeline, fitted) for fitted in fits]
    return table


# --- likelihood ratios ------------------------------------------------------------------------

# Log-likelihood that EM may leave to be gained, if `tol` times the number of rows is more. Smaller
# differences of log-likelihoods count as none.
MAX_MISSING_LIKELIHOOD = 0.02


class LikelihoodRatioTest:
    """Fits of K and of K + 1 experts for the test, by a validated estimator.

    Of several starts the one with the largest likelihood is kept, not the one with the largest
    lower bound. Under penalties the latter may be a fit in which an expert has no rows, with the
    likelihood of fewer experts.
    """

    def __init__(self, estimator: Any, n_rows: int) -> None:
        n_experts = estimator.n_experts
        tol = min(estimator.tol, MAX_MISSING_LIKELIHOOD / n_rows)
        changed = {"warm_start": False, "verbose": 0, "n_jobs": 1, "tol": tol}
        # The fits of a likelihood ratio have the same penalties.
        more = clone(estimator).set_params(n_experts=n_experts + 1)._validate_parameters()
        penalties = {
            "gate_alpha" if found.part == "gate" else found.fields[0]: found.value
            for found in more.penalties
            if found.search and found.fields != ("dispersion_alpha",)
        }
        self.n_experts, self.tolerance = n_experts, tol * n_rows
        self.estimator = clone(estimator).set_params(**changed, **penalties)

    def fit_null(self, data: TrainingData, seed: int) -> Trial:
        """K experts fitted to the data."""
        return self._best_fit(data, self.n_experts, [self.estimator.init], seed)

    def ratio(self, null: Trial, data: TrainingData, seed: int) -> nested.LikelihoodRatio:
        """Likelihood ratio of the data, given the fit of K experts to them.

        K + 1 experts start from the K experts with one of them split in two, and as in any fit. If
        their likelihood is smaller than that of K experts, a thorough search follows.
        """
        more = self.n_experts + 1
        best = self._best_fit(data, more, [null, self.estimator.init], seed, null)
        if best.log_likelihood() < null.log_likelihood() - self.tolerance:
            again = self._best_fit(data, more, ["search"], seed + 1, null)
            best = max(best, again, key=Trial.log_likelihood)
        pair = null.log_likelihood(), best.log_likelihood()
        gain = pair[1] - pair[0]
        return nested.LikelihoodRatio(
            pair,
            statistic=2.0 * gain if gain > self.tolerance else 0.0,
            is_failed=gain < -self.tolerance,
            converged=null.run.converged and best.run.converged,
        )

    def replicate(
        self, null: Trial, data: TrainingData, seed: np.random.SeedSequence
    ) -> nested.LikelihoodRatio:
        """The ratio of a target drawn from the fit of K experts."""
        rng = np.random.RandomState(np.random.MT19937(seed))
        rows = null.rows
        drawn = rows._replace(y=draw_target(null.fitted_estimator(), rows, rng))
        start_seed = int(rng.randint(np.iinfo(np.int32).max - 2))
        # EM starts with the responsibilities under the parameters from which the target was drawn:
        # the maximum is close to them. A warm start would keep the scale of the target of the first
        # fit, to which the penalties refer.
        init = null.fitted.responsibilities(drawn)[:, rows.unit_codes]
        data = data._replace(rows=data.rows._replace(y=drawn.y))
        return self.ratio(self._best_fit(data, self.n_experts, [init], 0), data, start_seed)

    def _best_fit(
        self,
        data: TrainingData,
        n_experts: int,
        starts: Sequence[Any],
        seed: int,
        known: Trial | None = None,
    ) -> Trial:
        """The fit with the largest likelihood among those from given starts."""
        fits, seeds = [], np.random.SeedSequence(seed).generate_state(len(starts))
        for start, own_seed in zip(starts, seeds, strict=True):
            seed = int(own_seed % np.iinfo(np.int32).max)
            options = {"n_experts": n_experts, "random_state": seed}
            if isinstance(start, str) and start == "search":
                options["n_init"] = 1
            fits.append(fit_trial(self.estimator, data, start, options, known=known))
        return max(fits, key=Trial.log_likelihood)
