"""What works with which family, as the table in the user guide has it."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from skmoe.data import RowBlocks
from skmoe.families import FAMILIES
from skmoe.gates import SoftmaxGate
from support.expert_kinds import draw, example, options_of
from support.fits import FIXED, fit_quietly

GUIDE = Path(__file__).parents[2] / "docs" / "user_guide" / "families.md"

# Names of rows of the table, and the parameter `family`.
ROWS = {name: options_of(name)["family"] for name in FAMILIES if FAMILIES[name].link} | {
    "zero and poisson": ["zero", "poisson"],
    "zero and gamma": ["zero", "gamma"],
    "normal and uniform": ["normal", "uniform"],
}
WITH_DISPERSION = [name for name in ROWS if name in FAMILIES and example(name).has_dispersion]
WITH_DISPERSION += ["zero and gamma", "normal and uniform"]
# Suffix of rows whose dispersions depend on a feature.
BY_FEATURES = ", dispersion features"
N_ROWS = 60


@cache
def table(row, n_outputs=1):
    """Features, and a target that the family can have, with some zeros or outliers in lists."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(N_ROWS, 2))
    family = ROWS[row.removesuffix(BY_FEATURES)]
    names = family if isinstance(family, list) else [getattr(family, "name", family)]
    main = next(name for name in names if FAMILIES[name].link)
    Y = np.column_stack([draw(main, 1.0 + np.abs(X[:, 0]), rng) for _ in range(n_outputs)])
    if "zero" in names:
        Y[rng.uniform(size=N_ROWS) < 0.3] = 0.0
    if "uniform" in names:
        Y[:12] = rng.uniform(-10, 10, size=(12, n_outputs))
    return X, Y[:, 0] if n_outputs == 1 else Y


def mixture(row, **options):
    fixed = FIXED | {"n_init": 1, "max_iter": 5, "random_state": 0}
    if row.endswith(BY_FEATURES):
        fixed["dispersion_features"] = [1]
    return MixtureOfExpertsRegressor(
        2, family=ROWS[row.removesuffix(BY_FEATURES)], **fixed | options
    )


@cache
def fitted(row):
    """The mixture of a row of the table, which no test changes."""
    return fit_quietly(mixture(row), *table(row))


def intervals(row, tmp_path):
    X, y = table(row)
    low, high = fitted(row).predict_interval(X[::2], 0.9).T
    assert np.mean((low <= y[::2]) & (y[::2] <= high)) > 0.75
    assert np.isfinite(fitted(row).predict_dist(X[:5]).crps(y[:5])).all()


def standard_errors(row, tmp_path):
    X, y = table(row)
    moe = fit_quietly(mixture(row, max_iter=60), X, y)  # the information is that of a maximum
    for method in ("observed", "bootstrap"):
        result = moe.inference(X, y, method=method, n_bootstrap=2, random_state=0)
        assert np.isfinite(result.standard_errors).any()


def several_outputs(row, tmp_path):
    X, Y = table(row, n_outputs=2)
    start = np.column_stack([X[:, 0] > 0, X[:, 0] <= 0]) * 0.8 + 0.1
    if "uniform" in row or "zero" in row:
        start = None
    one, other = (
        fit_quietly(mixture(row, init=start if start is not None else "linear_tree"), X, outputs)
        for outputs in (Y, Y[:, ::-1])
    )
    if start is not None:  # which does not depend on the outputs
        assert_allclose(one.predict(X), other.predict(X)[:, ::-1], rtol=1e-4, atol=1e-4)
        assert_allclose(one.expert_coef_, other.expert_coef_[:, ::-1], rtol=1e-3, atol=1e-4)
    assert one.predict_interval(X[:3]).shape == (3, 2, 2)


def row_blocks(row, tmp_path):
    X, y = table(row)
    blocks = RowBlocks(lambda: ((X[i : i + 40], y[i : i + 40]) for i in (0, 40)))
    in_blocks = fit_quietly(mixture(row), blocks)
    assert_allclose(in_blocks.lower_bound_, fitted(row).lower_bound_, atol=0.05)


def streams(row, tmp_path):
    X, y = table(row)
    moe = mixture(row)
    for rows in (slice(0, 30), slice(30, None)) * 3:
        moe.partial_fit(X[rows], y[rows])
    gap = fitted(row).score_samples(X, y).mean() - moe.score_samples(X, y).mean()
    assert gap < 0.3


def onnx(row, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    from skmoe.export import to_onnx

    X, _ = table(row)
    model = to_onnx(fitted(row), X[:1]).SerializeToString()
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (predicted,) = session.run(None, {session.get_inputs()[0].name: X})
    assert_allclose(predicted[:, 0], fitted(row).predict(X), rtol=1e-9, atol=1e-9)


def selected_number(row, tmp_path):
    X, y = table(row)
    moe = mixture(row).set_params(n_experts=[1, 2], max_iter=1, tol=1.0)
    assert fit_quietly(moe, X[:20], y[:20]).n_experts_ >= 1


def routing(row, tmp_path):
    X, y = table(row)
    moe = fit_quietly(mixture(row, gate=SoftmaxGate(top_k=1, balance=0.05)), X, y)
    assert_allclose(moe.predict_dist(X).mean, moe.predict(X), rtol=1e-9, atol=1e-9)


def with_predictor(moe):
    """Numbers of the experts with a linear predictor."""
    return np.flatnonzero(~np.isnan(moe.expert_intercept_))


def shared_slopes(row, tmp_path):
    X, y = table(row)
    moe = fit_quietly(mixture(row, shared_features=[1]), X, y)
    slopes = moe.expert_coef_[with_predictor(moe), 1]
    assert_allclose(slopes, slopes[0])
    terms = moe.inference(X[:30], y[:30]).terms
    parts = [term.part for term in terms if term.name == "x1" and term.part != "gate"]
    # The shared slope is one term: of all experts, or of the one that has a predictor.
    assert parts == [
        "all experts" if len(slopes) > 1 else moe.expert_names_[with_predictor(moe)[0]]
    ]


def offsets(row, tmp_path, **options):
    X, y = table(row)
    offset = np.log(np.random.default_rng(1).uniform(0.5, 2.0, size=N_ROWS))
    moe = fit_quietly(mixture(row, **options), X, y, offset=offset)
    assert_allclose(moe.predict(X, offset=offset), np.exp(offset) * moe.predict(X), rtol=1e-9)


TREES = {"expert": "tree", "max_iter": 2, "cross_fit": 2}


def estimators(row, tmp_path):
    X, y = table(row)
    moe = fit_quietly(mixture(row, **TREES), X, y)
    assert_allclose(moe.predict_dist(X).mean, moe.predict(X), rtol=1e-9, atol=1e-9)


def offsets_of_estimators(row, tmp_path):
    offsets(row, tmp_path, **TREES)


CAPABILITIES = {
    "intervals, CRPS": intervals,
    "standard errors": standard_errors,
    "several outputs": several_outputs,
    "shared slopes": shared_slopes,
    "row blocks": row_blocks,
    "partial_fit": streams,
    "ONNX": onnx,
    "auto": selected_number,
    "top_k, balance": routing,
    "offset": offsets,
    "estimators": estimators,
    "estimators, offset": offsets_of_estimators,
}


def in_code(text):
    return re.findall(r"`([^`]+)`", text)


@cache
def guide():
    """The families with which each capability does not work, by the table in the guide."""
    lines = GUIDE.read_text(encoding="utf-8").split("<!-- capabilities -->")[1].strip().split("\n")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    assert all(works == "all" or works.startswith("all but ") for _, works in cells)
    return {
        capability: set(in_code(works))
        for names, works in cells
        for capability in names.split("; ")
    }


def test_guide_has_all_families_and_capabilities():
    assert set(guide()) == set(CAPABILITIES)
    assert set().union(*guide().values()) <= set(ROWS)
    of_lists = {name for name in FAMILIES if not FAMILIES[name].link}
    assert set(FAMILIES) - of_lists == {row for row in ROWS if " and " not in row}
    chosen = GUIDE.read_text(encoding="utf-8").split("| y |")[1].split("\n\n")[0]
    assert set(re.findall(r'"(\w+)"', chosen)) == set(FAMILIES)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("row", ROWS)
def test_what_works_is_what_the_guide_says(row, capability, tmp_path):
    """With other families a ValueError gives the reason."""
    assert_works(row, capability, tmp_path, row not in guide()[capability])


def assert_works(row, capability, tmp_path, works):
    if works:
        CAPABILITIES[capability](row, tmp_path)
    else:
        with pytest.raises((ValueError, AttributeError), match=r"needs|cannot|has no attribute"):
            CAPABILITIES[capability](row, tmp_path)


# Every fifth pair: each row with three capabilities, and each capability with at least two rows.
PAIRS = [
    (row, capability)
    for i, row in enumerate(WITH_DISPERSION)
    for j, capability in enumerate(CAPABILITIES)
    if (i + j) % 5 == 0
]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("row", "capability"), PAIRS)
def test_the_same_works_with_dispersions_that_depend_on_features(row, capability, tmp_path):
    """But for streams, estimators, and graphs of means that depend on the dispersion."""
    works = row not in guide()[capability] and not capability.startswith(("partial", "estim"))
    works &= capability != "ONNX" or row not in ("lognormal", "weibull", "loglogistic", "gompertz")
    assert_works(row + BY_FEATURES, capability, tmp_path, works)
