"""What works with which family, as the table in the user guide has it."""

import json
import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from kinds import draw, options_of
from numpy.testing import assert_allclose

from skmoe import MixtureOfExpertsRegressor
from skmoe.blocks import RowBlocks
from skmoe.checkpoints import fit_with_checkpoints
from skmoe.families import FAMILIES

GUIDE = Path(__file__).parents[1] / "docs" / "user_guide" / "families.md"

# Names of rows of the table, and the parameter `family`.
ROWS = {name: options_of(name)["family"] for name in FAMILIES if FAMILIES[name].link} | {
    "zero and poisson": ["zero", "poisson"],
    "zero and gamma": ["zero", "gamma"],
    "normal and uniform": ["normal", "uniform"],
}
N = 240


def table(family, n_outputs=1):
    """Features, and a target that the family can have, with some zeros or outliers in lists."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(N, 2))
    names = family if isinstance(family, list) else [getattr(family, "name", family)]
    main = next(name for name in names if FAMILIES[name].link)
    Y = np.column_stack([draw(main, 1.0 + np.abs(X[:, 0]), rng) for _ in range(n_outputs)])
    if "zero" in names:
        Y[rng.uniform(size=N) < 0.3] = 0.0
    if "uniform" in names:
        Y[:12] = rng.uniform(-10, 10, size=(12, n_outputs))
    return X, Y[:, 0] if n_outputs == 1 else Y


def mixture(family, **options):
    plain = {"random_state": 0, "n_init": 1, "max_iter": 25}
    return MixtureOfExpertsRegressor(2, family=family, **(plain | options))


@cache
def fitted_row(row):
    """The mixture of a row of the table, which no test changes."""
    return mixture(ROWS[row]).fit(*table(ROWS[row]))


def fitted(family):
    return fitted_row(next(row for row, given in ROWS.items() if given == family))


def intervals(family, tmp_path):
    X, y = table(family)
    moe = fitted(family)
    interval = moe.predict_interval(X, 0.9)
    assert np.mean((interval[:, 0] <= y) & (y <= interval[:, 1])) > 0.8
    assert np.isfinite(moe.predict_dist(X).crps(y)).all()


def standard_errors(family, tmp_path):
    X, y = table(family)
    moe = fitted(family)
    for method in ("observed", "sandwich", "bootstrap"):
        result = moe.inference(X, y, method=method, n_bootstrap=3, random_state=0)
        assert np.isfinite(result.standard_errors).any()
    assert "log-likelihood" in str(moe.summary(X, y))


def several_outputs(family, tmp_path):
    X, Y = table(family, n_outputs=2)
    one, other = (
        mixture(family, max_iter=200, tol=1e-8).fit(X, outputs) for outputs in (Y, Y[:, ::-1])
    )
    assert_allclose(one.predict(X), other.predict(X)[:, ::-1], rtol=1e-3, atol=1e-3)
    assert one.predict_interval(X[:3]).shape == (3, 2, 2)


def row_blocks(family, tmp_path):
    X, y = table(family)
    blocks = RowBlocks(lambda: ((X[i : i + 80], y[i : i + 80]) for i in range(0, N, 80)))
    in_memory, in_blocks = fitted(family), mixture(family).fit(blocks)
    assert_allclose(in_blocks.lower_bound_, in_memory.lower_bound_, atol=1e-3)


def streams(family, tmp_path):
    X, y = table(family)
    moe = mixture(family)
    for _ in range(6):
        for i in range(0, N, 80):
            moe.partial_fit(X[i : i + 80], y[i : i + 80])
    gap = fitted(family).score_samples(X, y).mean() - moe.score_samples(X, y).mean()
    assert gap < 0.1


def checkpoints(family, tmp_path):
    X, y = table(family)
    kept = fit_with_checkpoints(mixture(family), X, y, path=tmp_path / "fit", every=2)
    assert (kept.predict(X) == fitted(family).predict(X)).all()


def documents(family, tmp_path):
    X, y = table(family)
    moe = fitted(family)
    same = MixtureOfExpertsRegressor.from_dict(json.loads(json.dumps(moe.to_dict())))
    assert (same.predict(X) == moe.predict(X)).all()
    assert (same.score_samples(X, y) == moe.score_samples(X, y)).all()


def onnx(family, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    from skmoe.onnx import to_onnx

    X, _ = table(family)
    moe = fitted(family)
    model = to_onnx(moe, X[:1]).SerializeToString()
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (predicted,) = session.run(None, {session.get_inputs()[0].name: X})
    assert_allclose(predicted[:, 0], moe.predict(X), rtol=1e-9, atol=1e-9)


def selected_number(family, tmp_path):
    X, y = table(family)
    moe = mixture(family).set_params(n_experts="auto", n_init=1, max_iter=10)
    assert moe.fit(X[:80], y[:80]).n_experts_ >= 1


def averages(family, tmp_path):
    X, y = table(family)
    moe = mixture(family, combine="average", n_init=2).fit(X, y)
    assert moe.n_experts_ == 4
    assert_allclose(moe.predict_dist(X).mean, moe.predict(X), rtol=1e-9, atol=1e-9)


def routing(family, tmp_path):
    X, y = table(family)
    moe = mixture(family, top_k=1, balance=0.05).fit(X, y)
    assert_allclose(moe.predict_dist(X).mean, moe.predict(X), rtol=1e-9, atol=1e-9)


def shared_slopes(family, tmp_path):
    X, y = table(family)
    moe = mixture(family, shared_features=[1]).fit(X, y)
    slopes = moe.expert_coef_[~np.isnan(moe.expert_intercept_), 1]
    assert_allclose(slopes, slopes[0])
    assert any(term.part == "all experts" for term in moe.inference(X, y).terms)


def offsets(family, tmp_path, **options):
    X, y = table(family)
    offset = np.log(np.random.default_rng(1).uniform(0.5, 2.0, size=N))
    moe = mixture(family, **options).fit(X, y, offset=offset)
    assert_allclose(moe.predict(X, offset), np.exp(offset) * moe.predict(X), rtol=1e-9)


def estimators(family, tmp_path):
    X, y = table(family)
    moe = mixture(family, expert="tree").fit(X, y)
    assert_allclose(moe.predict_dist(X).mean, moe.predict(X), rtol=1e-9, atol=1e-9)


def offsets_of_estimators(family, tmp_path):
    offsets(family, tmp_path, expert="tree")


CAPABILITIES = {
    "intervals, CRPS": intervals,
    "standard errors": standard_errors,
    "several outputs": several_outputs,
    "shared slopes": shared_slopes,
    "row blocks": row_blocks,
    "partial_fit": streams,
    "checkpoints": checkpoints,
    "to_dict": documents,
    "ONNX": onnx,
    "auto": selected_number,
    "average": averages,
    "top_k, balance": routing,
    "offset": offsets,
    "estimators": estimators,
    "estimators, offset": offsets_of_estimators,
}


def guide():
    """The cells of the table in the guide, by row and column."""
    lines = GUIDE.read_text(encoding="utf-8").split("<!-- capabilities -->")[1].strip().split("\n")
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {
        re.sub("[`*]", "", row[0]): dict(zip(cells[0][1:], row[1:], strict=True))
        for row in cells[2:]
    }


def test_the_guide_has_all_families_and_capabilities():
    assert set(guide()) == set(ROWS)
    assert all(set(row) == set(CAPABILITIES) for row in guide().values())


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("row", ROWS)
def test_what_works_is_what_the_guide_says(row, capability, tmp_path):
    """Cells are "yes", or "no" where a ValueError gives the reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if guide()[row][capability] == "yes":
            CAPABILITIES[capability](ROWS[row], tmp_path)
        else:
            with pytest.raises(ValueError, match=r"needs|cannot be chosen"):
                CAPABILITIES[capability](ROWS[row], tmp_path)
