"""Stacks: several models of all rows, and a gate that learns for which rows each is right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from time import perf_counter
from typing import Any, Self, cast

import numpy as np
from sklearn.utils import Bunch

from skmoe._data.checks import check_real
from skmoe._data.rows import Dataset, Rows
from skmoe._data.sklearn_adapter import experts_of, final_estimator
from skmoe._estimators.base import BaseMixture
from skmoe._estimators.fitting.callbacks import FitTask
from skmoe._estimators.fitting.problem import FitProblem, attributes_of_mixture
from skmoe._estimators.methods.new_rows import check_expert_names
from skmoe._estimators.methods.predictive import MixtureClassifierMixin, MixtureRegressorMixin
from skmoe._estimators.parameters import parts as part_checks
from skmoe._estimators.parameters.parameters import FitParameters, validate_parameters
from skmoe._mixture.fitted import FittedMixture
from skmoe._mixture.mixture import Data, Mixture
from skmoe._mixture.own import OwnGate
from skmoe.experts._named_estimators import NAMED_ESTIMATORS
from skmoe.experts._stacking import GivenDensities, StackedModels
from skmoe.gates import ConstantGate
from skmoe.protocols import Gate

__all__ = ["GatedStackingClassifier", "GatedStackingRegressor"]


@dataclass(eq=False, repr=False)
class _GatedStacking(BaseMixture):
    """What both stacks have in common."""

    estimators: Any
    _: KW_ONLY
    family: Any = "normal"
    gate: Any = "softmax"
    gate_alpha: float | str | None = None
    gate_features: Any = None
    dispersion: str = "per_expert"
    dispersion_prior: float = 1.0
    cv: int | None = None
    class_weight: Any = None
    max_iter: int = 300
    tol: float = 1e-4
    random_state: Any = None
    n_jobs: int | None = None
    verbose: int | bool = 0

    # Groups are kept in one fold, which `fit_argument` asks of inner estimators.
    _uses_groups = True
    _has_models = True
    warm_start = False

    # --- named models ---

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters of the stack; if `deep` the models by their names, and their parameters.

        Parameters
        ----------
        deep : bool, default=True
            Whether to return the models, and their parameters as `name__parameter`.

        Returns
        -------
        params : dict
            Parameters and their values.
        """
        params: dict[str, Any] = super().get_params(deep=deep)
        for name, model in self._pairs() if deep else ():
            params[name] = model
            of_model = model.get_params() if hasattr(model, "get_params") else {}
            params |= {f"{name}__{key}": value for key, value in of_model.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the stack, and models or their parameters by the names of the models.

        Parameters
        ----------
        **params : dict
            Parameters, such as `gate_alpha=10`; models, such as `trees=RandomForestRegressor()` or
            `trees="drop"`; and parameters of models, such as `trees__max_depth=3`.

        Returns
        -------
        self : estimator
            The stack.
        """
        self.estimators = params.pop("estimators", self.estimators)
        names = {name for name, _ in self._pairs()} - set(self.get_params(deep=False))
        replaced = {name: params.pop(name) for name in names & set(params)}
        if replaced:
            self.estimators = [(name, replaced.get(name, old)) for name, old in self._pairs()]
        return super().set_params(**params)

    def _pairs(self) -> list[tuple[str, Any]]:
        """Names and models; nothing if `estimators` is no list of pairs."""
        entries = self.estimators if isinstance(self.estimators, list | tuple) else []
        is_pair = [isinstance(entry, list | tuple) and len(entry) == 2 for entry in entries]
        return [(name, model) for name, model in entries] if all(is_pair) else []

    @property
    def _expert_parameter(self) -> tuple[str, Any]:
        return "estimators", experts_of(self)

    def _experts_by_name(self) -> dict[str, Any]:
        pairs = self._pairs()
        if not pairs:
            raise ValueError(
                "estimators must be a list of pairs of a name and a model, such as "
                f'[("trees", "tree"), ("ridge", Ridge())]; got {self.estimators!r}.'
            )
        named = [(name, m) for name, m in pairs if not isinstance(m, str) or m != "drop"]
        names = check_expert_names("names in estimators", [name for name, _ in named], len(named))
        for name in names:
            if "__" in name or name in self.get_params(deep=False):
                raise ValueError(
                    "names in estimators must differ from the parameters of the stack, and have "
                    f"no double underscore, for set_params; got {name!r}. Use another name."
                )
        return dict(named)

    def _validate_parameters(self) -> FitParameters:
        models = list(self._experts_by_name().values())
        if len(models) < 2:
            raise ValueError(
                "estimators must have at least two entries, between which the gate chooses; got "
                f"{len(models)}. Add another model, or use the model by itself."
            )
        if isinstance(self.family, list | tuple):
            raise ValueError(
                f"family must be one family, which models without a density of their own have in "
                f"common; got {self.family!r}. Put a mixture with these families into estimators."
            )
        check_real("dispersion_prior", self.dispersion_prior)
        params = validate_parameters(self, models)
        of_task = params.task.name, NAMED_ESTIMATORS, False
        for k, model in enumerate(models):
            part_checks.check_estimator(f"estimators[{k}]", model, *of_task)
        if not params.task.is_classification:
            part_checks.check_family_of_models(params.mean_family, self.family, models)
        return params._replace(
            expert_parameter="estimators", estimator_experts=StackedModels, cross_fit=self.cv
        )

    # --- fit ---

    def fit(
        self,
        X: Any,
        y: Any = None,
        *,
        sample_weight: Any = None,
        groups: Any = None,
        offset: Any = None,
        units: Any = None,
        **fit_params: Any,
    ) -> Self:
        """Fit each model without each fold and to all rows, and train the gate.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Features: numbers, or a data frame with categories if every model accepts them. Models
            receive them as they are; for the gate they are standardised.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Target; the classifier takes labels of shape (n_samples,).
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows: a row of weight two counts as two rows, of weight zero as none. For
            models whose `fit` takes no weights rows are repeated, so that they are whole numbers.
        groups : array-like of shape (n_samples,), default=None
            Labels of groups, such as hospitals, whose rows are kept in one fold.
        offset : array-like of shape (n_samples,), default=None
            Log of the exposure, such as the years of observation of each row, for a family with a
            log link. Models are fitted to y per unit of exposure.
        units : array-like of shape (n_samples,), default=None
            Labels of customers, patients or products with several rows, in any order. All rows of a
            unit come from one model, and are kept in one fold. The gate sees one row for each unit,
            in which its features must be constant.
        **fit_params : dict of array-like of shape (n_samples,)
            Metadata for the fits of the models, cut to the rows of each fit.

        Returns
        -------
        self : estimator
            The fitted stack.

        Raises
        ------
        ValueError
            Before any work, for invalid parameters or data; a previous fit is left unchanged.

        Warns
        -----
        ConvergenceWarning
            If EM of the gate has not converged in `max_iter` iterations.
        DegenerateExpertWarning
            If the noise variance of some models is at its floor.
        OptionWarning
            If a model has a loss for counts, positive targets or quantiles, but normal noise: use
            `family`.
        """
        return self._fit(Rows(X, y, sample_weight, offset, units, groups, fit_params))

    @property
    def named_estimators_(self: Any) -> Bunch:
        """The models by name, fitted to all rows, without those that are left out."""
        models = (fitted for (fitted,) in self.experts_)
        return Bunch(**dict(zip(self._model_names, models, strict=True)))

    def _with_models(
        self, problem: FitProblem, params: FitParameters, task: FitTask | None
    ) -> tuple[FitProblem, dict[str, Any]]:
        """The problem of the gate, given the models that are fitted here, and their names."""
        part_checks.check_stacked_rows(params.expert, problem.em_problem.rows)
        rows, names = problem.em_problem.rows, tuple(self._experts_by_name())
        stacked = cast(StackedModels, problem.em_problem.mixture.experts)
        join = np.array(part_checks.models_of_values(stacked.fits.estimators))
        if stacked.fits.classes is None and join.any() and not join.all():
            # Models of given values, such as ratings, are left out unless y has few.
            values = part_checks.few_values(rows.y, rows.weight)
            kept = np.flatnonzero(~join | bool(values))
            if len(kept) < 2:
                raise ValueError(
                    "estimators must have at least two models for y with many values, for which "
                    f"models of given values are left out; got {list(names)}, of which one is "
                    f"left, for {len(np.unique(rows.y))} values of y. Add a model, or choose "
                    "another family."
                )
            stacked, names = stacked.of_models(kept, values), tuple(names[k] for k in kept)
        members: list[Any] = []
        for k, estimator in enumerate(stacked.fits.estimators):
            name = f"model {k}, {type(final_estimator(estimator)).__name__}"
            if self.verbose > 1:
                print(f"  {name}: fits without each fold, and to all rows")
            subtask = task and task.subtask("model", task_id=k).start()
            start_time = perf_counter()
            members.append(stacked.member(k, Data(rows)))
            if self.verbose > 0:
                print(f"{name}: fitted in {perf_counter() - start_time:.1f} s")
            if subtask:
                subtask.end(partial(_attributes_of_models, problem, stacked, tuple(members)))
        problem = _problem_of_gate(problem, params.gate, stacked, members)
        return problem, {"_expert_names": names, "_model_names": names}


def _attributes_of_models(
    problem: FitProblem, stacked: StackedModels, members: Sequence[Any]
) -> dict[str, Any]:
    """Attributes of a stack of the models that are fitted, with equal weights."""
    data = Data(_held_out(problem.em_problem.rows))
    part = stacked.with_members(members, data).without_training_state()
    mixture = Mixture(part, ConstantGate().gate_of(len(members), 0))
    fitted = FittedMixture(mixture, mixture.start, problem.preprocessor)
    return problem.attributes | attributes_of_mixture(fitted) | {"n_experts_": len(members)}


def _problem_of_gate(
    problem: FitProblem, gate: Any, stacked: StackedModels, members: Sequence[Any]
) -> FitProblem:
    """The problem of the gate, with the out-of-fold densities of models that have been fitted."""
    em_problem, n_models = problem.em_problem, len(members)
    data = Data(_held_out(em_problem.rows))
    of_fit = stacked.with_members(members, data)
    part_checks.check_possible(of_fit.log_densities(data), data.rows.y)
    of_fit = of_fit.pooled(data)
    of_gate = n_models, data.rows.gate_design.shape[1]
    own_gate = OwnGate(gate, *of_gate) if isinstance(gate, Gate) else gate.gate_of(*of_gate)
    mixture = Mixture(GivenDensities(n_models), own_gate, top_k=gate.top_k, balance=gate.balance)
    rows = of_fit.given_densities(data)
    init_data = em_problem.init_data._replace(rows=rows)  # a sample has no densities
    em_problem = em_problem._replace(
        mixture=mixture, rows=rows, init_data=init_data, init=mixture.start, seeds=[]
    )
    of_all_rows = of_fit.of_all_rows(Data(problem.em_problem.rows))
    return problem._replace(em_problem=em_problem, stacked_experts=of_all_rows)


def _held_out(rows: Dataset) -> Dataset:
    """The rows that have out-of-fold predictions, with the total weight of all rows.

    Series stay whole, with y missing in the other rows.
    """
    index = np.flatnonzero(rows.expert_design.fold >= 0)
    factor = rows.weight.sum() / rows.weight[index].sum()
    if rows.series is not None:
        rows = rows._replace(weight=np.where(rows.expert_design.fold >= 0, rows.weight, 0.0))
        return rows.take(np.arange(rows.n_apart), factor)
    return rows.take(index if rows.units is None else np.unique(rows.units.codes[index]), factor)


@dataclass(eq=False, repr=False)
class GatedStackingRegressor(MixtureRegressorMixin, _GatedStacking):
    r"""Stack of regressions whose weights depend on the features.

    The density of y given x is :math:`\sum_m g_m(x) f_m(y \mid x)`. Each model m is fitted to all
    rows, and :math:`f_m` is its predictive distribution, or a distribution around its predictions.
    The gate :math:`g`, a softmax of linear functions of x, is trained by EM on densities of rows
    that the models have not seen [1]_. See "Stacking" in the user guide.

    Parameters
    ----------
    estimators : list of tuple of (str, estimator)
        Names and models, at least two. Mixtures of experts and stacks have predictive
        distributions; other regressors predict the mean of y. The names "linear" and "tree", in the
        place of an estimator, stand for a ridge regression and a tree; "drop" leaves a model out.
        Mixtures with `family="ordinal"` join others if one output has at most 30 values, and at
        least five rows for each: all models then predict probabilities of these values, continuous
        ones those of the cells between them. For other y ordinal mixtures are left out.
    family : str or Family, default="normal"
        Conditional distribution of y around the predictions of models without a distribution of
        their own, such as "student_t" or "poisson": see `MixtureOfExpertsRegressor`.
    gate : {"softmax", "constant"} or gate object, default="softmax"
        Probability of each model given the features. "constant" gives all rows the same
        probabilities. Objects of `skmoe.gates` have options, such as `SoftmaxGate(top_k=2)` for two
        models in each row. One of your own derives from `skmoe.protocols.Gate`.
    gate_alpha : float, "auto", "ard" or None, default=None
        L2 penalty on the slopes of the gate, for standardised features. Try "auto", which maximises
        the evidence, or 10 to 100. "ard" finds a penalty for each feature. None is 1, or the number
        in a gate object.
    gate_features : array-like, default=None
        Columns that the gate uses, such as `["age", "income"]`: names, indices or a boolean mask;
        None for all. Models see all columns; a pipeline may choose some.
    dispersion : {"per_expert", "shared"}, default="per_expert"
        Whether each model has dispersion parameters of its own, such as its noise variance.
    dispersion_prior : float, default=1.0
        Strength, in rows, of the inverse-gamma prior on each noise variance or other dispersion,
        whose scale is the error of one regression. Residuals of rows left out need little of it. 0
        is maximum likelihood.
    cv : int or None, default=None
        Number of folds, without each of which every model is fitted once. None for 5, or 3
        for more than 250 rows; of more than 5000 rows one third is held out, once.
    max_iter : int, default=300
        Largest number of EM iterations of the gate. Raise it if `fit` gives a `ConvergenceWarning`.
    tol : float, default=1e-4
        EM stops when the penalised log-likelihood per row (in nats) still to be gained, by Aitken's
        estimate, is below `tol`.
    random_state : int, RandomState instance or None, default=None
        Source of randomness of folds and models. An integer makes the fit reproducible.
    n_jobs : int, default=None
        Fits to run in parallel by joblib; -1 for all processors, None for one. The result is the
        same.
    verbose : int, default=0
        0 prints nothing, 1 a line for each model, 2 a line for each iteration.

    Attributes
    ----------
    named_estimators_ : Bunch
        The models by name, fitted to all rows, without those that are left out.
    experts_ : list of lists of estimators
        The same models, each in a list.
    n_experts_ : int
        Number of models.
    expert_names_, expert_kinds_ : list of str of length n_experts
        Names of the models, or those of `set_expert_names`; their classes, or their families.
    weights_ : ndarray of shape (n_experts,)
        Mean gate probability of each model.
    spread_ : ndarray of shape (n_experts,)
        Factors by which the distributions of models are narrowed (below 1) or widened (above 1)
        around their means, so that the mixture fits. 1 without a change.
    noise_variance_, dispersion_, df_ : ndarray of shape (n_experts,) or (n_experts, n_outputs)
        Parameters of the `family`, for models of all rows: see `MixtureOfExpertsRegressor`. NaN for
        models with a distribution of their own.
    families_ : list of Family of length n_experts
        The `family` other than "normal", in the units of y.
    gate_coef_, gate_intercept_, gate_feature_names_, gate_alpha_ : ndarray
        Coefficients of the gate, their columns and penalty: see `MixtureOfExpertsRegressor`.
    lower_bound_ : float
        Penalised out-of-fold log-likelihood per row, which EM maximises: compare it with that of
        other lists of models on the same rows.
    lower_bounds_, start_converged_, start_traces_ : ndarray or list
        The same after each iteration, and by start, of which there is one.
    maxima_ : Maxima
        What several starts have reached: nothing, for the single start of a stack.
    n_iter_, converged_ : int and bool
        Number of EM iterations of the gate, and whether it converged.
    n_parameters_ : float
        Number of free parameters; NaN if it cannot be counted.
    n_units_, n_features_in_, feature_names_in_, feature_range_
        Number of units, if `fit` was given any; number, names and ranges of the features.

    See Also
    --------
    GatedStackingClassifier : A stack of classifiers.
    skmoe.recipes.strong_regressor : A stack that is ready to use.
    skmoe.MixtureOfExpertsRegressor : Experts that are fitted to the rows of their regime.

    References
    ----------
    .. [1] Y. Yao, G. Pirš, A. Vehtari and A. Gelman (2022), "Bayesian hierarchical stacking: some
       models are (somewhere) useful", Bayesian Analysis 17, 1043-1071.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.ensemble import RandomForestRegressor
    >>> from sklearn.linear_model import Ridge
    >>> from skmoe import GatedStackingRegressor
    >>> X, y = load_diabetes(return_X_y=True)
    >>> models = [("ridge", Ridge(0.1)), ("trees", RandomForestRegressor(20, min_samples_leaf=5))]
    >>> stack = GatedStackingRegressor(models, gate_alpha=100, random_state=0).fit(X, y)
    >>> stack.predict_gate(X).shape, stack.expert_names_
    ((442, 2), ['ridge', 'trees'])
    """

    class_weight: None = field(default=None, init=False)


@dataclass(eq=False, repr=False)
class GatedStackingClassifier(MixtureClassifierMixin, _GatedStacking):
    r"""Stack of classifiers whose weights depend on the features.

    The probability of class c given x is :math:`\sum_m g_m(x) p_m(c \mid x)`. Each model m is
    fitted to all rows. The gate :math:`g`, a softmax of linear functions of x, is trained by EM on
    the probabilities of rows that the models have not seen [1]_. See "Stacking" in the user guide.

    Parameters
    ----------
    estimators : list of tuple of (str, estimator)
        Names and classifiers with `predict_proba`, at least two. The names "linear" and "tree", in
        the place of an estimator, stand for a logistic regression and a tree; "drop" leaves a model
        out.
    gate, gate_alpha, gate_features, cv : object
        See `GatedStackingRegressor`.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, such as `{"yes": 5.0}`, which multiply those of the rows. "balanced"
        weighs classes inversely to their weighted frequency; predicted probabilities are then those
        of equally frequent classes. None weighs all classes by 1.
    max_iter, tol, random_state, n_jobs, verbose : object
        See `GatedStackingRegressor`.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Class labels.
    temperature_ : ndarray of shape (n_experts,)
        Temperatures of the probabilities of the models, so that the mixture fits: their logs are
        divided by it, and they are normalised again [2]_. Probabilities are more certain below 1,
        less certain above 1, and as the model gives them at 1.
    named_estimators_, experts_, n_experts_, expert_names_, expert_kinds_, weights_
        Models and their weights: see `GatedStackingRegressor`.
    gate_coef_, gate_intercept_, gate_feature_names_, gate_alpha_
        Coefficients of the gate: see `GatedStackingRegressor`.
    lower_bound_, lower_bounds_, start_converged_, start_traces_, n_iter_
        Progress of EM: see `GatedStackingRegressor`.
    converged_ : bool
        Whether EM converged.
    n_parameters_, n_units_, feature_range_, n_features_in_, feature_names_in_
        See `GatedStackingRegressor`.

    See Also
    --------
    GatedStackingRegressor : A stack of regressions.
    skmoe.recipes.strong_classifier : A stack that is ready to use.
    skmoe.MixtureOfExpertsClassifier : Experts that are fitted to the rows of their regime.

    References
    ----------
    .. [1] Y. Yao, G. Pirš, A. Vehtari and A. Gelman (2022), "Bayesian hierarchical stacking: some
       models are (somewhere) useful", Bayesian Analysis 17, 1043-1071.
    .. [2] C. Guo, G. Pleiss, Y. Sun and K. Q. Weinberger (2017), "On calibration of modern neural
       networks", Proceedings of Machine Learning Research 70, 1321-1330.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skmoe import GatedStackingClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> models = [("logistic", LogisticRegression(max_iter=1000)), ("bayes", GaussianNB())]
    >>> stack = GatedStackingClassifier(models, gate_alpha=10, random_state=0).fit(X, y)
    >>> stack.score(X, y) > 0.95
    True
    """

    family: str = field(default="normal", init=False)
    dispersion: str = field(default="per_expert", init=False)
    dispersion_prior: float = field(default=0.0, init=False)
