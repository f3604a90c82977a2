"""Encodings of frames: medians, levels, names and what is new, by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal

from skmoe._data import encoding
from skmoe._data.encoding import (
    _median,
    _ranked_levels,
    category_codes,
    check_frame,
    column_of,
    encode,
    encoded_columns,
    encoded_names,
    frame_columns,
    is_frame,
    is_new_to_encoder,
    make_encoder,
    numeric_names,
    numeric_values,
    origin_columns,
)

X = pd.DataFrame(
    {
        "u": ["p", "q", "q", None, "r"],
        "v": [1.0, np.nan, 3.0, 2.0, 9.0],
        "w": pd.array([4, 5, 6, 7, 8], dtype="Int64"),
        "s": pd.Categorical(["a", "a", "b", "b", "a"]),
    }
)
WEIGHT = np.array([1.0, 1.0, 2.0, 1.0, 0.0])
NAMES = np.array(X.columns, dtype=object)


def test_columns_are_numbers_and_then_indicators():
    """Rows without weight have no level and no say in the medians."""
    encoder = make_encoder(X, WEIGHT, True)
    assert encoder.numeric_columns == [1, 2]
    assert encoder.categorical_columns == [0, 3]
    assert encoder.missing_columns == [1]
    assert encoder.levels == [["p", "q", None], ["a", "b"]]
    assert (encoder.is_frame, encoder.allow_nan) == (True, True)
    assert encoder.median.tolist() == [2.0, 6.0]
    names = encoded_names(encoder, NAMES)
    assert names == [
        *["v", "w", "missingindicator_v", "u_p", "u_q", "missingindicator_u", "s_a", "s_b"]
    ]
    assert origin_columns(encoder).tolist() == [1, 2, 1, 0, 0, 0, 3, 3]
    table = pd.DataFrame(encode(encoder, X), columns=names)
    assert table["v"].tolist() == [1.0, 2.0, 3.0, 2.0, 9.0]
    assert table["w"].tolist() == [4.0, 5.0, 6.0, 7.0, 8.0]
    assert table["missingindicator_v"].tolist() == [0, 1, 0, 0, 0]
    assert table["missingindicator_u"].tolist() == [0, 0, 0, 1, 0]
    assert table["u_q"].tolist() == [0, 1, 1, 0, 0]
    assert table[["u_p", "u_q", "missingindicator_u"]].loc[4].tolist() == [0, 0, 0]
    assert encoded_columns(encoder, None) is None
    assert encoded_columns(encoder, np.array([0, 2])).tolist() == [1, 3, 4, 5]
    assert_array_equal(numeric_values(encoder, X)[:, 0], X["v"])
    assert numeric_values(encoder, X).shape == (5, 2)
    codes = category_codes(encoder, X)
    for j, name in enumerate(["u", "s"]):
        texts = X[name].astype(object).where(X[name].notna(), "None").astype(str).to_numpy()
        assert_array_equal(codes[:, j][:, None] == codes[:, j], texts[:, None] == texts)


def test_what_a_fit_has_not_seen_is_new_column_by_column():
    encoder = make_encoder(X, WEIGHT, True)
    expected = np.zeros((5, 4), dtype=bool)
    expected[4, 0] = True  # a level without weight
    assert_array_equal(is_new_to_encoder(encoder, X), expected)
    changed = X.copy()
    changed.loc[0, ["v", "w"]] = None
    changed["s"] = ["a", None, "c", "b", "b"]
    expected[0, 2] = expected[1, 3] = expected[2, 3] = True
    assert_array_equal(is_new_to_encoder(encoder, changed), expected)


@pytest.mark.parametrize("n_most", [2, 3, 4])
def test_the_heaviest_levels_have_columns_and_the_others_one(n_most, monkeypatch):
    monkeypatch.setattr(encoding, "MAX_CATEGORIES", n_most)
    frame = pd.DataFrame({"u": ["z", "y", "y", "x", "x", "x", None, None, None, None]})
    encoder = make_encoder(frame, np.ones(10), True)
    heaviest = [None, "x", "y", "z"]
    is_cut = n_most < 4
    kept = heaviest[: n_most - 1] if is_cut else heaviest
    assert encoder.levels == [[*sorted(level for level in kept if level), None]]
    assert encoder.infrequent == [is_cut]
    names = encoded_names(encoder, np.array(["u"], dtype=object))
    assert len(names) == n_most == len(origin_columns(encoder))
    table = encode(encoder, frame)
    assert table.shape == (10, n_most)
    assert_array_equal(table.sum(axis=1), np.ones(10))
    if is_cut:
        assert names[-1] == "u_infrequent"
        others = [(None if pd.isna(level) else level) not in kept for level in frame["u"]]
        assert_array_equal(table[:, -1], others)
    new = pd.DataFrame({"u": ["k"]})
    assert is_new_to_encoder(encoder, new).tolist() == [[not is_cut]]


@pytest.mark.parametrize("order", [["u", "v"], ["v", "u"]])
def test_each_column_has_its_own_rare_levels(order, monkeypatch):
    monkeypatch.setattr(encoding, "MAX_CATEGORIES", 2)
    frame = pd.DataFrame({"u": list("pppqqr"), "v": list("ababab")})[order]
    encoder = make_encoder(frame, np.ones(6), True)
    found = dict(zip(order, zip(encoder.levels, encoder.infrequent, strict=True), strict=True))
    assert found == {"u": (["p"], True), "v": (["a", "b"], False)}


def test_levels_are_ranked_by_weight_and_then_by_name():
    strings = np.array(["b", "a", None, "a", "c"], dtype=object)
    ranked = _ranked_levels(strings, np.array([2.0, 1.0, 2.0, 1.0, 3.0]))
    assert ranked == ["c", "a", "b", None]
    assert _ranked_levels(np.array(["", None], dtype=object), np.ones(2)) == ["", None]


@pytest.mark.parametrize("seed", range(10))
def test_the_median_is_the_lower_one_of_weighted_values(seed):
    rng = np.random.default_rng(seed)
    values, weight = rng.integers(0, 9, size=7).astype(float), rng.integers(1, 4, size=7)
    values[0] = np.nan
    repeated = np.repeat(values[1:], weight[1:])
    expected = np.quantile(repeated, 0.5, method="inverted_cdf")
    assert _median(values, weight.astype(float)) == expected
    assert _median(np.full(3, np.nan), np.ones(3)) == 0.0


def test_names_of_numeric_features_are_those_given_or_numbered():
    encoder = make_encoder(X, WEIGHT, True)
    assert numeric_names(None, None, 2) == ["x0", "x1"]
    assert numeric_names(np.array(["a", 1], dtype=object), None, 2) == ["a", "1"]
    assert numeric_names(NAMES, encoder, 4) == encoded_names(encoder, NAMES)
    assert numeric_names(None, encoder, 4)[:3] == ["x1", "x2", "missingindicator_x1"]


def test_tables_without_numbers_or_categories_are_encoded():
    numbers, words = X[["v"]], X[["u", "s"]]
    encoder = make_encoder(numbers, WEIGHT, False)
    assert category_codes(encoder, numbers).shape == (5, 0)
    check_frame(encoder)
    encoder = make_encoder(words, WEIGHT, False)
    assert numeric_values(encoder, words).shape == (5, 0)
    with pytest.raises(ValueError, match=r"at positions \[0, 1\] hold categories; got an array"):
        check_frame(encoder)
    array = np.array([[1.0, np.nan], [2.0, 5.0]])
    encoder = make_encoder(array, np.ones(2), True)
    assert not encoder.is_frame
    assert not is_frame(array)
    assert is_frame(X)
    assert not is_frame(SimpleNamespace(columns=[]))
    assert not is_frame(SimpleNamespace(dtypes=[]))
    assert_array_equal(column_of(array, 1), array[:, 1])
    assert [column.name for column in frame_columns(X)] == list("uvws")
    assert_array_equal(encode(encoder, array), [[1.0, 5.0, 1.0], [2.0, 5.0, 0.0]])
