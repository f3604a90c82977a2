"""Tasks of callbacks are as many as were announced, with the data of the fit."""

import numpy as np
import pytest
from cases import UNITS, X, Y, regressor, target_of
from numpy.testing import assert_array_equal
from regimes import quiet
from sklearn.linear_model import Ridge

pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")


class Tasks:
    """Remembers the contexts of all tasks and the data of the fit."""

    def __init__(self):
        self.contexts, self.data = [], []

    def setup(self, estimator, context):
        pass

    def teardown(self, estimator, context):
        pass

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        self.contexts.append(context)
        self.data.append((X, y, metadata))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        assert fitted_estimator is None or hasattr(fitted_estimator, "n_experts_")
        return False


def tasks_of(moe, *data, **given):
    recorder = Tasks()
    quiet(moe.set_callbacks(recorder), *data, **given)
    return recorder


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({"n_init": 1}, ["start", "EM"]),
        ({"n_init": 3}, ["start"] * 3 + ["EM"]),
        ({"n_experts": 1, "n_init": 1}, ["start", "EM"]),
        ({"expert": "tree", "n_init": 2}, ["start"] * 2 + ["EM"]),
        ({"combine": "average", "n_init": 2}, ["start"] * 2 + ["EM"]),
        (
            {"expert": [Ridge(), "linear", "tree"], "specialize": False, "n_init": 1},
            ["start", "EM", "model", "model", "model"],
        ),
    ],
)
def test_tasks_are_numbered_and_announced(options, names):
    moe = regressor(**{"max_iter": 4} | options)
    whole, *_ = tasks_of(moe, X, Y).contexts
    assert (whole.task_name, whole.parent) == ("fit", None)
    children = list(whole._children_map.values())
    assert whole.max_subtasks == len(names)
    assert sorted(child.task_id for child in children) == list(range(len(names)))
    assert [c.task_name for c in sorted(children, key=lambda c: c.task_id)] == names
    for child in children:
        iterations = list(child._children_map.values())
        assert len(iterations) <= (child.max_subtasks or 0)
        assert {context.task_name for context in iterations} <= {"iteration"}
        assert all(context.max_subtasks == 0 for context in iterations)


@pytest.mark.parametrize("given", [(), ("sample_weight",), ("offset", "units"), ("units",)])
def test_tasks_have_the_data_of_the_fit(given):
    values = {
        "sample_weight": np.arange(1.0, len(Y) + 1.0),
        "offset": 0.1 * X[:, 1],
        "units": UNITS,
    }
    metadata = {name: values[name] for name in given}
    moe = regressor(family="poisson", n_init=1, max_iter=2, gate="constant")
    y = target_of("poisson")
    data = tasks_of(moe, X, y, **metadata).data
    assert len(data) > 3
    for features, target, found in data:
        assert features is X
        assert target is y
        if not given:
            assert found is None
            continue
        assert list(found) == [name for name in values if name in given]
        for name in given:
            assert_array_equal(found[name], metadata[name])
