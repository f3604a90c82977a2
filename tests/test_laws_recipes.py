"""Members of the strong recipes are those of the published comparison that chose them."""

import importlib
import re
from pathlib import Path

import pytest
from sklearn.base import is_classifier

from skmoe import recipes

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def candidates():
    """The classifiers that were compared, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tests" / "benchmarks"))
        return dict(importlib.import_module("members").candidates())


def params_of(model):
    """Parameters that decide on the fit; "auto" is the default of penalties without a base."""
    left_out = ("random_state", "expert", "base", "verbose", "n_jobs")
    params = {name: value for name, value in model.get_params(deep=False).items()}
    params |= {name: "auto" for name in ("alpha", "gate_alpha") if params.get(name, 0) is None}
    return type(model), {name: value for name, value in params.items() if name not in left_out}


def test_members_of_the_strong_classifier_are_candidates(candidates):
    compared = {
        name: params_of(model)
        for name, model in candidates.items()
        if not name.startswith("member of the recipe")
    }
    mixture, *boosting = recipes.strong_classifier().expert
    assert params_of(mixture) == compared["mixture of 3"]
    names = ("columns drawn", "trees of two splits", "many steps")
    assert [params_of(model) for model in boosting] == [
        compared[f"boosting, {name}"] for name in names
    ]


def test_mixtures_of_the_strong_regressor_run_like_candidates(candidates):
    alone, on_boosting, _ = recipes.strong_regressor().expert
    for member, name in ((alone, "mixture of 3"), (on_boosting, "mixture on boosting")):
        candidate = candidates[name.replace("mixture on", "mixture of 3 on")]
        assert (member.n_init, member.tol) == (candidate.n_init, candidate.tol)
    assert on_boosting.n_experts == candidates["mixture of 3 on boosting"].n_experts


def test_members_are_those_of_the_published_comparison():
    text = (ROOT / "docs" / "benchmarks" / "defaults.md").read_text()
    text = text[text.index("## Members of the strong recipes") :]
    linear, on_boosting, trees = recipes.strong_regressor().expert
    (n_trees,) = re.findall(r"randomised trees instead of (\d+)", text)
    assert trees.n_estimators == int(n_trees)
    assert linear.alpha == linear.gate_alpha == re.findall(r'instead of `"(\w+)"`', text)[0]
    assert "averaged over two starts" in text
    assert linear.n_init == 2
    (share,) = re.findall(r"draws (\d+) % of the columns", text)
    assert recipes.strong_classifier().expert[1].max_features == int(share) / 100
    assert not is_classifier(on_boosting.base)
