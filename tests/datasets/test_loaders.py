"""The tables of the package: what they hold, in scikit-learn's form, with their licences."""

import sys
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest

from skmoe import datasets
from skmoe.data import right_censored

# Of each loader: rows and features, the sum of the target, sums of the columns that are no
# features, and the licence. The sums were computed from the files of the sources.
TABLES = {
    "doctor_visits": (
        (7920, 10),
        22989,
        {"units": 2544678160, "time": 23760, "admissions": 886},
        "public domain",
    ),
    "us_economy": ((203, 11), 1194.6, {"time": 402802.75}, "public domain"),
    "hiv_trial": ((2139, 13), 1880391 + 521, {"arm": 3253, "cd4_week_20": 794226}, "CC BY 4.0"),
    "property_fund": (
        (5639, 11),
        6255,
        {"exposure": 210226739287, "loss": 97483101.18, "units": 839537090, "time": 11322998},
        "CC0 1.0",
    ),
    "health_survey": (
        (7794, 3),
        1448002,
        {"sample_weight": 224230320, "strata": 1249857, "cluster": 11992, "medicine": 1696},
        "public domain",
    ),
}


@pytest.fixture(params=TABLES, scope="module")
def table(request):
    """Loader, and what it has to return."""
    return getattr(datasets, f"load_{request.param}"), *TABLES[request.param]


def test_values_are_those_of_the_sources(table):
    load, shape, total, apart, _ = table
    bunch = load()
    assert bunch.data.shape == shape
    assert bunch.data.dtype == bunch.target.dtype == np.float64
    assert np.isfinite(bunch.data).all()
    np.testing.assert_allclose(bunch.target.sum(), total)
    for name, expected in apart.items():
        assert bunch[name].shape == (shape[0],)
        np.testing.assert_allclose(bunch[name].sum(), expected)


def test_frames_have_the_values_of_the_arrays(table):
    load = table[0]
    arrays, frames = load(), load(as_frame=True)
    assert list(frames.data) == arrays.feature_names
    np.testing.assert_array_equal(frames.data, arrays.data)
    np.testing.assert_array_equal(frames.target, arrays.target)
    names = [frames.target.name] if arrays.target.ndim == 1 else list(frames.target)
    assert names == arrays.target_names
    assert arrays.frame is None
    assert set(frames.frame) > {*arrays.feature_names, *arrays.target_names}
    whole = [name for name in frames.frame if (frames.frame[name] % 1 == 0).all()]
    assert all(pd.api.types.is_integer_dtype(frames.frame[name]) for name in whole)
    for X, y in (load(return_X_y=True), load(return_X_y=True, as_frame=True)):
        np.testing.assert_array_equal(X, arrays.data)
        np.testing.assert_array_equal(y, arrays.target)


def test_licences_are_in_the_package(table):
    load, *_, licence = table
    bunch = load()
    assert f"Licence: {licence}" in bunch.DESCR.replace("\n", " ")
    text = files("skmoe.datasets").joinpath("LICENCES.md").read_text("utf-8")
    [row] = [line for line in text.splitlines() if f"`{load.__name__[5:]}`" in line]
    assert licence in row
    assert bunch.filename.endswith(f"{load.__name__[5:]}.csv.gz")


def test_targets_of_the_trial_are_those_of_fits():
    _, y = datasets.load_hiv_trial(return_X_y=True, as_frame=True)
    assert np.isfinite(right_censored(y["days"], y["event"])["upper"]).sum() == 521


def test_frames_need_pandas_and_arrays_do_not(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert datasets.load_us_economy().data.shape == (203, 11)
    with pytest.raises(ImportError, match=r"\(as_frame=True\) needs pandas.*\.\[frames\]"):
        datasets.load_us_economy(as_frame=True)
