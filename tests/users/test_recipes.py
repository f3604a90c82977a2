"""The recipes: ordinary estimators, made of the parts of the package."""

import inspect
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone, is_classifier
from sklearn.exceptions import DataConversionWarning
from sklearn.linear_model import Ridge
from sklearn.model_selection import ParameterGrid
from sklearn.tree import DecisionTreeRegressor

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, recipes
from support.fits import fit_quietly
from support.recording_estimators import Log, RecordingRegressor
from support.refusals import assert_refused, refusal
from support.tables import flipping_classes, two_regimes

REGRESSORS = [recipes.strong_regressor, recipes.readable_regressor]
CLASSIFIERS = [recipes.strong_classifier, recipes.readable_classifier]
STRONG = [recipes.strong_regressor, recipes.strong_classifier]


@pytest.mark.parametrize("recipe", [*REGRESSORS, *CLASSIFIERS])
def test_recipes_are_estimators_that_can_be_copied_and_changed(recipe):
    moe = recipe(random_state=3, n_jobs=1, verbose=1)
    family = ["family"] * (recipe is recipes.readable_regressor)
    size = ["effort"] * (recipe in STRONG)
    names = [*family, *size, "random_state", "n_jobs", "verbose"]
    assert list(inspect.signature(recipe).parameters) == names
    assert (moe.random_state, moe.n_jobs, moe.verbose) == (3, 1, 1)
    assert str(clone(moe).get_params()) == str(moe.get_params())
    assert clone(moe).set_params(gate_alpha=2.0).gate_alpha == 2.0
    assert is_classifier(moe) == (recipe in CLASSIFIERS)
    if recipe not in STRONG:
        assert list(moe.n_experts) == [1, 2, 3, 4, 5, 6]
        assert (moe.expert, moe.alpha, moe.gate_alpha) == ("linear", "auto", "auto")


def sizes(moe, name):
    """Values of a parameter of the models, by their long names."""
    params = moe.get_params().items()
    return {k: v for k, v in params if k.endswith(f"__{name}") and v is not None}


@pytest.mark.parametrize("recipe", STRONG)
@pytest.mark.parametrize("name", ["n_components", "max_iter", "n_estimators"])
def test_models_grow_with_the_effort(recipe, name):
    efforts = [recipe(effort=effort) for effort in ("fast", "balanced", "best")]
    fast, balanced, best = (sum(sizes(moe, name).values()) for moe in efforts)
    assert fast < balanced < best
    assert sizes(recipe(), name) == sizes(efforts[1], name)
    for effort in ("slow", None, 3):
        message = refusal(recipe, effort=effort)
        assert_refused(message, "effort must be one of", ["balanced", "best", "fast"])


def small(recipe, **options):
    """A recipe of low effort, whose models are fitted quickly."""
    moe = recipe(effort="fast", random_state=0, **options)
    for name, size in {"n_components": 20, "n_estimators": 5}.items():
        moe.set_params(**dict.fromkeys(sizes(moe, name), size))
    of_boosting = [key for key in sizes(moe, "max_iter") if not key.startswith("kernel")]
    return moe.set_params(cv=2, gate_alpha=1.0, **dict.fromkeys(of_boosting, 20))


def without_kernel(moe):
    """The recipe without the model whose fit takes longest."""
    return moe.set_params(**{moe.estimators[0][0]: "drop"})


@pytest.mark.parametrize(("n_classes", "score"), [(2, 0.7), (3, 0.5)])
def test_strong_classifiers_learn_from_targets_of_the_shape_that_models_expect(n_classes, score):
    X, y = flipping_classes(n_rows=80, n_classes=n_classes)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        moe = small(recipes.strong_classifier).fit(X, y)
    assert not [w for w in caught if issubclass(w.category, DataConversionWarning)]
    assert moe.score(X, y) > score


def test_ratings_have_probabilities_of_their_values():
    """Ordinal experts join for few values only, and nothing else is predicted."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1.0, 1.0, size=(80, 2))
    continuous = 3.0 + 2.0 * X[:, 0] + 0.3 * rng.normal(size=80)
    moe = without_kernel(small(recipes.strong_regressor))
    dist = fit_quietly(clone(moe), X, continuous.round()).predict_dist(X)
    values = np.unique(continuous.round())
    assert_allclose(dist.pmf(values[None]).sum(axis=1), 1.0, atol=1e-6)
    fit = fit_quietly(clone(moe), X, continuous)
    assert "ordinal_experts" not in fit.named_estimators_


def holed_frame(n_rows=80):
    """Numbers with missing values, a category with missing values, and a target of both."""
    rng = np.random.default_rng(0)
    size, is_rome = rng.normal(size=n_rows), rng.uniform(size=n_rows) < 0.5
    city = pd.Series(np.where(is_rome, "rome", "oslo"), dtype="category")
    frame = pd.DataFrame({"size": size, "noise": rng.normal(size=n_rows), "city": city})
    frame.loc[::9, "noise"] = frame.loc[::11, "city"] = np.nan
    return frame, np.where(is_rome, size, -size) + 0.1 * rng.normal(size=n_rows)


@pytest.mark.parametrize("recipe", STRONG)
def test_strong_estimators_take_missing_values_and_categories(recipe):
    X, y = holed_frame()
    y = y > 0.0 if recipe is recipes.strong_classifier else y
    moe = fit_quietly(without_kernel(small(recipe)), X, y)
    assert moe.score(X, y) > 0.6
    other = X["city"].cat.rename_categories({"rome": "oslo", "oslo": "rome"})
    assert moe.score(X.assign(city=other), y) < 0.5
    assert moe.predict(X.assign(size=np.nan)).shape == y.shape


def test_classes_of_a_row_or_two_have_a_strong_classifier():
    X, y = two_regimes(n_rows=40)
    classes = np.digitize(y, np.sort(y)[[2, 4, 8, 20]])
    moe = without_kernel(small(recipes.strong_classifier)).set_params(cv=None)
    assert fit_quietly(moe, X, classes).predict_proba(X).shape == (40, 5)


@pytest.mark.parametrize("recipe", STRONG)
def test_boosting_stops_early_and_is_fitted_again_to_all_rows(recipe):
    """With the leaves that are best on held-out rows; its parameters stay as they are."""
    X, y = two_regimes(n_rows=300)
    y = y > 0.0 if recipe is recipes.strong_classifier else y
    moe = recipe(random_state=0, effort="best")
    name = "boosting" if recipe is recipes.strong_classifier else "stacked_experts"
    model = dict(moe.estimators)[name][-1]
    model = model if name == "boosting" else model.named_steps["predictions"].boosting
    model = clone(model).set_params(estimator__random_state=0)
    before = str(model.get_params())
    fitted = fit_quietly(model, X, y).best_estimator_
    assert str(model.get_params()) == before
    assert 1 <= fitted.n_iter_ == fitted.max_iter < model.estimator.max_iter
    assert not fitted.early_stopping
    losses = []
    for candidate in ParameterGrid(model.param_grid):
        stopped = clone(model.estimator).set_params(early_stopping=True, **candidate)
        losses.append(-max(fit_quietly(stopped, X, y).validation_score_))
    best = ParameterGrid(model.param_grid)[np.argmin(losses)]
    assert {name: getattr(fitted, name) for name in best} == best


def test_of_many_classes_boosting_makes_few_large_steps():
    """Each of them has as many trees as there are classes."""
    X, y = np.random.default_rng(0).normal(size=(320, 2)), np.tile(np.arange(16), 20)
    model = dict(recipes.strong_classifier(effort="fast").estimators)["drawn_columns"][-1]
    of_two, of_many = model.chosen(X, y % 2), model.chosen(X, y)
    assert of_two.max_iter == 4 * of_many.max_iter
    assert of_two.learning_rate == of_many.learning_rate / 4.0 == model.estimator.learning_rate


def test_boosted_experts_find_the_parameters_of_their_base_once(monkeypatch):
    """The base stays as it is."""
    X, y = two_regimes(n_rows=60)
    model = dict(recipes.strong_regressor().estimators)["boosting_experts"][-1]
    found, base, chosen = [], model.base, type(model.base).chosen

    def counted(self, *rows):
        found.append(self)
        return chosen(self, *rows)

    monkeypatch.setattr(type(base), "chosen", counted)
    fit_quietly(model, X, y)
    assert (model.base, len(found)) == (base, 1)


def test_bases_in_a_stack_have_three_folds():
    """By itself a mixture has five of them, and one fit to all rows more."""
    X, y = two_regimes(n_rows=60)
    in_stack = dict(recipes.strong_regressor().estimators)["boosting_experts"][-1]
    numbers = []
    for model in (in_stack, MixtureOfExpertsRegressor(2)):
        log = Log()
        fit_quietly(clone(model).set_params(base=RecordingRegressor(log)), X, y)
        numbers.append(len(log.fits()))
    assert numbers == [4, 6]


def test_weights_and_groups_of_a_stack_reach_experts_on_predictions(monkeypatch):
    X, y = two_regimes(n_rows=60)
    group, weight = np.arange(60) // 6, np.tile([1.0, 2.0], 30)
    moe = recipes.strong_regressor(effort="best", random_state=0)
    others = [name for name, _ in moe.estimators if name not in ("stacked_experts", "trees")]
    step = dict(moe.estimators)["stacked_experts"][-1][0]
    found, fit_transform = [], type(step).fit_transform

    def recorded(self, X, y, sample_weight=None, groups=None):
        found.append((sample_weight, groups))
        return fit_transform(self, X, y, sample_weight, groups)

    monkeypatch.setattr(type(step), "fit_transform", recorded)
    moe.set_params(**dict.fromkeys(others, "drop"), cv=2, gate_alpha=1.0)
    for name in ("n_components", "n_estimators", "max_iter"):
        moe.set_params(**dict.fromkeys(sizes(moe, name), 5))
    fit_quietly(moe, X, y, sample_weight=weight, groups=group)
    assert max(len(groups) for _, groups in found) == 60
    assert {tuple(np.unique(weights)) for weights, _ in found} == {(1.0, 2.0)}


def test_experts_on_predictions_are_fitted_to_those_of_rows_held_out():
    """Of rows of weight zero nothing is learned, and a group is on one side of each fold."""
    X, _ = two_regimes(n_rows=60)
    group, weight = np.arange(60) // 6, np.ones(60)
    weight[:6] = 0.0
    member = dict(recipes.strong_regressor(effort="best").estimators)["stacked_experts"]
    boosting = {"boosting__estimator__max_iter": 5, "boosting__param_grid": [{}]}
    step = clone(member[-1][0]).set_params(random_state=0, **boosting)
    step.set_params(trees=DecisionTreeRegressor())  # which knows the rows it is fitted to
    given = {"sample_weight": weight, "groups": group}
    columns = fit_quietly(clone(step), X, group, **given).transform(X)
    assert_allclose(columns[6:, -1], group[6:])
    held_out = step.fit_transform(X, group, **given)
    assert (held_out[:, -1] != group).all()
    assert_allclose(held_out[:, : X.shape[1]], X)


@pytest.mark.parametrize(
    ("recipe", "mixture"),
    zip(STRONG, [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier], strict=True),
)
def test_mixtures_of_strong_recipes_end_with_em(recipe, mixture):
    """Further steps to the maximum would take most of the time, and hardly change a stack."""
    X, y = two_regimes(n_rows=120)
    y = y > 0.0 if mixture is MixtureOfExpertsClassifier else y
    options = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0, "tol": 1e-2}
    member = dict(recipe().estimators)["linear_experts"][-1].set_params(n_experts=3, **options)
    to_the_maximum = fit_quietly(mixture(3, **options), X, y)
    fit_quietly(member, X, y)
    assert member.converged_
    assert member.n_iter_ < to_the_maximum.n_iter_
    assert member.lower_bound_ < to_the_maximum.lower_bound_


def test_a_strong_fit_can_be_repeated_and_reports_its_models(capsys):
    X, y = two_regimes(n_rows=60)
    moe = without_kernel(small(recipes.strong_regressor, verbose=1))
    fit_quietly(moe, X, y)
    assert re.findall(r"model \d, (\w+): fitted in \d+\.\d s", capsys.readouterr().out) == [
        "HistGradientBoostingRegressor",
        "ExtraTreesRegressor",
    ]
    again = fit_quietly(clone(moe).set_params(verbose=0), X, y)
    assert_allclose(again.predict(X), moe.predict(X))
    assert capsys.readouterr().out == ""


def test_the_strong_regressor_has_distributions():
    X, y = two_regimes(n_rows=60)
    moe = fit_quietly(small(recipes.strong_regressor), X, y)
    assert moe.score(X, y) > 0.7
    low, high = moe.predict_interval(X).T
    assert ((low < y) & (high > y)).mean() > 0.75
    assert np.isfinite(moe.predict_dist(X).crps(y)).all()
    # Models without a random state of their own get one of the stack.
    params = {k: v for (model,) in moe.experts_ for k, v in model.get_params().items()}
    assert None not in [value for key, value in params.items() if "random_state" in key]


@pytest.mark.parametrize("weighted", [False, True])
def test_the_kernel_regression_is_a_ridge_regression_on_its_features(weighted):
    X, y = two_regimes(n_rows=60)
    weight = np.random.default_rng(0).uniform(0.5, 2.0, size=len(y)) if weighted else None
    model = dict(recipes.strong_regressor(effort="fast").estimators)["kernel"]
    kernel = clone(model.named_steps["model"][-1]).set_params(n_components=20, random_state=0)
    kernel.fit(X, y, sample_weight=weight)
    features = kernel.transform(X)
    ridge = Ridge().fit(features, y, sample_weight=weight)
    assert_allclose(kernel.predict(X), ridge.predict(features), rtol=1e-6)


@pytest.mark.parametrize("n_other", [0, 1, 8])
def test_stacks_take_a_target_with_next_to_one_value(n_other):
    X, y = np.random.default_rng(0).normal(size=(60, 2)), np.ones(60)
    y[:n_other] = 2.0
    moe = recipes.strong_regressor(effort="fast").fit(X, y)
    assert_allclose(moe.predict(X).mean(), y.mean(), atol=0.05)
