"""What inference needs, and what passes over blocks of rows need."""

from types import SimpleNamespace

import numpy as np
import pytest
from cases import X, Y, fitted_case, regressor
from numpy.testing import assert_array_equal
from regimes import quiet
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge

from skmoe._data.block_checks import Block
from skmoe._data.block_source import (
    BlockSource,
    DaskBlockSource,
    _map_block,
    check_same_rows,
    make_block_source,
)
from skmoe._data.blocks import DaskBlocks, RowBlocks
from skmoe._data.rows import Dataset
from skmoe._inference import requirements
from skmoe._inference.criteria import n_parameters
from skmoe._inference.requirements import (
    check_inference_supported,
    check_n_parameters_known,
    missing_for_inference,
)

OBSTACLES = {
    "routing": "top_k",
    "base": "base",
    "trees": "smooth coefficients",
    "average": "a gate with smooth coefficients",
}


@pytest.mark.parametrize("case", [*OBSTACLES, "linear-regressor", "units", "two experts"])
def test_what_stands_in_the_way_of_inference_is_named(case):
    mixture = fitted_case(case)._fitted
    message = missing_for_inference(mixture)
    if case not in OBSTACLES:
        assert message == ""
        check_inference_supported(mixture)
        return
    assert OBSTACLES[case] in message
    with pytest.raises(ValueError, match=OBSTACLES[case]) as refused:
        check_inference_supported(mixture)
    assert str(refused.value) == message


def test_inference_is_for_a_bounded_number_of_terms(monkeypatch):
    mixture = fitted_case("two experts")._fitted
    n_terms = int(n_parameters(mixture))
    monkeypatch.setattr(requirements, "MAX_TERMS", n_terms)
    assert missing_for_inference(mixture) == ""
    monkeypatch.setattr(requirements, "MAX_TERMS", n_terms - 1)
    assert f"at most {n_terms - 1}; the fit has {n_terms}." in missing_for_inference(mixture)


def test_the_expert_is_named_whose_parameters_cannot_be_counted():
    forest = RandomForestRegressor(2)
    moe = quiet(regressor(n_experts=2, n_init=1, max_iter=2, expert=[Ridge(), forest]), X, Y)
    for k, model in enumerate(moe.experts_):
        is_counted = isinstance(model[0], Ridge)
        if not is_counted:
            with pytest.raises(ValueError, match=rf"BIC needs .* expert {k} \(RandomForest"):
                check_n_parameters_known(moe._fitted, "BIC", moe.experts_)
    with pytest.raises(ValueError, match=f"{type(moe._fitted.model.experts).__name__} has no such"):
        check_n_parameters_known(moe._fitted, "BIC", [])
    counted = quiet(moe.set_params(expert="tree"), X, Y)
    check_n_parameters_known(counted._fitted, "BIC", counted.experts_)


def test_a_pass_that_gives_other_rows_is_refused():
    check_same_rows(5, 5)
    for n_rows in (4, 6):
        with pytest.raises(ValueError, match=f"gave 5 rows, a later one {n_rows}"):
            check_same_rows(n_rows, 5)


def test_blocks_of_dask_are_read_on_its_workers():
    for blocks, kind in ((RowBlocks(tuple), BlockSource), (DaskBlocks([]), DaskBlockSource)):
        assert type(make_block_source(blocks, None, None, None)) is kind


@pytest.mark.parametrize("n_rows", [0, 1, 5])
def test_a_block_has_the_sum_over_its_rows_or_nothing(n_rows):
    design = np.ones((n_rows, 2))
    rows = Dataset(design, design, np.zeros((1, n_rows)), np.arange(1.0, n_rows + 1))
    source = SimpleNamespace(rows=lambda index, block: (rows, n_rows))
    found = _map_block(source, lambda part: (part.weight.sum(), len(part.weight)), 0, None)
    assert found == ((rows.weight.sum(), n_rows) if n_rows else None)


def test_rows_of_no_weight_are_left_out_of_a_block():
    """Also where they are the first or the last ones."""
    weight = np.array([0.0, 2.0, 1.0, 0.0])
    block = Block(np.arange(8.0).reshape(4, 2), np.arange(4.0), weight, np.arange(4.0))
    seen = []
    preprocessor = SimpleNamespace(
        assemble=lambda *given: seen.append(given), standardize_target=lambda y: y
    )
    first_pass = SimpleNamespace(classes=None)
    source = BlockSource(None, lambda index, given: given, preprocessor, first_pass)
    _, n_rows = source.rows(0, block)
    assert n_rows == 4
    ((X, y, kept, offset),) = seen
    assert_array_equal(X, block.X[1:3])
    assert_array_equal(y, [block.y[1:3]])
    assert_array_equal(kept, weight[1:3])
    assert_array_equal(offset, block.offset[1:3])
