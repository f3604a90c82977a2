"""Every parameter has a table of what it accepts and of what it refuses, up to its bounds."""

import inspect
import itertools
import re
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from kinds import example
from numpy.testing import assert_allclose, assert_array_equal
from regimes import quiet
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.linear_model import Ridge

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe._data.checks import check_integer, check_real
from skmoe._data.feature_checks import _as_numbers
from skmoe._data.scaling import Standardization
from skmoe._data.target_checks import check_labels
from skmoe._estimators.capabilities import check_half_life, check_stream_size
from skmoe._estimators.files import read_file, write_file
from skmoe._estimators.parameters import (
    INIT_SUM_TOL,
    MAX_BALANCE,
    MAX_N_INIT,
    check_cross_fit,
    check_init,
    check_verbose,
)
from skmoe._estimators.part_parameters import (
    accepts_missing,
    check_out_of_bag,
    name_of_density,
    resolve_experts,
    resolve_families,
    resolve_gate,
)
from skmoe._estimators.penalty_parameters import PenaltyOption
from skmoe._estimators.tasks import Regression
from skmoe._estimators.training_data import check_support
from skmoe._estimators.unit_checks import check_gate_proba
from skmoe._estimators.warm_start import SAME_MOMENTS_RTOL, check_same_rows
from skmoe.experts import EXPERTS, LinearExperts
from skmoe.families import FAMILIES, Gamma, Normal, StudentT
from skmoe.gates import GATES, ConstantGate, SoftmaxGate

BOTH = [MixtureOfExpertsRegressor, MixtureOfExpertsClassifier]

# Of each kind of parameter some values that are accepted, and some that are refused.
NO_NUMBERS = ["1", [1], {}, 1j]
NO_INTEGERS = [*NO_NUMBERS, 1.0, 1.5, True, False, np.True_]
NO_REALS = [*NO_NUMBERS, np.nan, np.inf, -np.inf, -1e-9]
NO_FLAGS = [0, 1, "yes", None, 1.0]
PENALTY = [None, 0, 0.0, 2.5, np.float32(1.0), "auto"]
PARAMETERS = {
    "n_experts": ([2, np.int64(5)], [0, -1, None, *NO_INTEGERS]),
    "n_init": ([1, 2, MAX_N_INIT], [0, MAX_N_INIT + 1, None, *NO_INTEGERS]),
    "max_iter": ([1, 10**9], [0, -1, None, *NO_INTEGERS]),
    "top_k": ([None, 1, 4], [0, 5, *NO_INTEGERS]),
    "verbose": ([0, 1, 3, True, False], [-1, None, *NO_NUMBERS, 1.0, 1.5]),
    "n_jobs": ([None, 1, -1, -2], [0, *NO_INTEGERS]),
    "tol": ([0, 0.0, 1.0, 1e300], [None, *NO_REALS]),
    "balance": ([0, 0.0, MAX_BALANCE], [None, 1.001 * MAX_BALANCE, *NO_REALS]),
    "alpha": ([*PENALTY, "ard"], ["found", *NO_REALS]),
    "gate_alpha": ([*PENALTY, "ard"], ["found", *NO_REALS]),
    "dispersion_prior": (PENALTY, ["ard", "found", *NO_REALS]),
    "warm_start": ([True, False, np.True_], NO_FLAGS),
    "specialize": ([True, np.True_], NO_FLAGS),
    "combine": (["best", "best_converged", "average"], ["mean", None, 1, True, ["best"]]),
    "cross_fit": (["auto", "oob", False, 2, np.int64(7)], [True, 0, 1, -2, 2.0, "all", None]),
    "gate_aggregate": ([None, "mean", "first"], ["last", True, 0, ["mean"]]),
    "gate": ([*GATES, SoftmaxGate(), ConstantGate()], ["wide", None, 3, SoftmaxGate]),
    "expert": (["linear", "tree"], ["forest", None, 3, Ridge, [], ["linear"]]),
    "base": ([None], ["linear", 3]),
    "random_state": ([None, 0, 2**32 - 1, np.random.RandomState(0)], [-1, 2**32, "a", 0.5]),
    "family": (
        [*(name for name in FAMILIES if name != "ordinal"), Normal(), ["normal"] * 4],
        ["normals", None, 3, ["normal"], Gamma],
    ),
    "dispersion": (["per_expert", "shared"], ["each", None, True]),
}

# These are compared with the data.
OF_DATA = {"gate_features", "expert_features", "shared_features", "init", "class_weight"}
OF_STREAMS = {"half_life"}


@pytest.mark.parametrize("make", BOTH)
def test_every_parameter_has_values_that_it_refuses(make):
    assert set(inspect.signature(make).parameters) <= {*PARAMETERS, *OF_DATA, *OF_STREAMS}


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("make", BOTH)
def test_parameters_accept_their_values_and_refuse_others_by_name(make, name):
    if name not in inspect.signature(make).parameters:
        return
    accepted, refused = PARAMETERS[name]
    for value in accepted:
        make(4, **{name: value} if name != "n_experts" else {}).set_params(
            **{name: value}
        )._validate_parameters()
    for value in refused:
        with pytest.raises(ValueError, match=rf"^{name}(\[0\])? (must|as a list must)"):
            make(4).set_params(**{name: value})._validate_parameters()


@pytest.mark.parametrize("check", [check_real, check_integer])
@pytest.mark.parametrize(
    ("bounds", "words"), [({"least": 2}, ["2"]), ({"least": 2, "most": 5}, ["2", "5"])]
)
def test_refusals_name_the_bounds_and_a_number_within(check, bounds, words):
    for bad in (1, 1e9 if check is check_real else 10**9, "a"):
        if bad not in (1, "a") and "most" not in bounds:
            continue
        with pytest.raises(ValueError, match=r"^n must be") as refusal:
            check("n", bad, **bounds)
        rule, _, advice = str(refusal.value).partition("; got ")
        assert re.findall(r"\d+", rule) == words
        assert advice.startswith(repr(bad))
        (example,) = re.findall(r"n=(\d+)|$", advice)[:1]
        assert not example or bounds["least"] <= int(example) <= bounds.get("most", np.inf)


def test_levels_of_progress_and_folds_are_returned_as_numbers():
    assert [check_verbose(value) for value in (False, True, 0, np.int64(3))] == [0, 1, 0, 3]
    assert type(check_verbose(True)) is int
    assert type(check_cross_fit(np.int64(3))) is int
    assert check_cross_fit(False) is False


@pytest.mark.parametrize("value", [None, 1, 0.5, 1e300])
def test_a_half_life_is_a_number_of_rows_or_for_ever(value):
    assert check_half_life(value) == (np.inf if value is None else value)
    for bad in (0, 0.0, -1.0, np.nan, np.inf, "1", True and "x"):
        with pytest.raises(ValueError, match="half_life must be None or a positive number"):
            check_half_life(bad)


def test_matrices_of_streams_have_a_largest_size():
    check_stream_size("gate_features", 10, 10)
    with pytest.raises(ValueError, match="matrices of 11 columns, more than 10"):
        check_stream_size("gate_features", 11, 10)


# --- labels -----------------------------------------------------------------------------------

DATES = np.array(["2020-01-01", "2021-01-01"], dtype="datetime64[D]")
GOOD_LABELS = [
    [3, 1], [0.5, -1.0], ["b", "a"], [True, False], DATES, DATES - DATES[0], [1, 2.5], [b"b", b"a"],
]  # fmt: skip


@pytest.mark.parametrize("good", GOOD_LABELS, ids=repr)
def test_labels_are_of_one_kind_and_none_is_missing(good):
    """Whatever the type of the array is that holds them."""
    own = np.asarray(good)
    missing = [None, np.nan, pd.NA, pd.NaT, float("nan"), "text" if own.dtype.kind != "U" else 1.0]
    for labels in (own, own.astype(object), pd.Series(good).to_numpy(dtype=object)):
        check_labels("y", labels)
        for value in missing:
            for place in (0, 1, 2):
                bad = np.array([*labels[:place], None, *labels[place:]], dtype=object)
                bad[place] = value
                with pytest.raises(ValueError, match="y must hold labels of one kind"):
                    check_labels("y", bad)
    if own.dtype.kind in "fmM":
        bad = np.append(own, np.array(["NaT" if own.dtype.kind != "f" else "nan"], dtype=own.dtype))
        with pytest.raises(ValueError, match="y must hold labels of one kind"):
            check_labels("y", bad)
    for shape in ((), (2, 1)):
        with pytest.raises(ValueError, match="y must have one dimension"):
            check_labels("y", np.resize(own, shape))


def test_missing_entries_of_a_column_are_found_however_they_are_written():
    values = [None, 1.0, pd.NA, "text", np.nan, 0, True]
    for chosen in itertools.permutations(values, 3):
        column = np.empty(3, dtype=object)
        column[:] = chosen
        numbers = _as_numbers(column)
        assert_array_equal(np.isnan(numbers), [bool(pd.isna(value)) for value in chosen])


# --- probabilities --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["init", "gate_proba"])
def test_probabilities_sum_to_one_within_round_off(kind):
    def check(values):
        if kind == "init":
            return check_init(values, [], 3, 2)
        return check_gate_proba(values, 3, 2)

    good = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    for off in (-0.9, 0.0, 0.9):
        found = check(good * (1.0 + off * INIT_SUM_TOL))
        assert_allclose(found.sum(axis=1), 1.0, atol=INIT_SUM_TOL)
        assert_allclose(found, good, atol=INIT_SUM_TOL)
    bad = [good * (1.0 + off * INIT_SUM_TOL) for off in (-1.1, 1.1)]
    for value in (np.nan, np.inf, -1e-9):
        changed = good.copy()
        changed[1] = 1.0 - np.nan_to_num(value, posinf=0.0), value
        bad.append(changed)
    bad += [good[:2], good[:, :1], good.ravel(), good[None]]
    for values in bad:
        with pytest.raises(ValueError, match=rf"^{kind} "):
            check(values)
    row = good.copy()
    row[2] = 0.4
    with pytest.raises(ValueError, match="row 2"):
        check(row)


def test_starts_are_names_or_responsibilities():
    assert check_init("auto", ["tree"], 3, 2) == "auto"
    assert check_init("tree", ["tree"], 3, 2) == "tree"
    for bad in ("other", None, 3, [], "", {}):
        with pytest.raises(ValueError, match=r"^init must be one of"):
            check_init(bad, ["tree"], 3, 2)


# --- the moments of a fit that goes on ------------------------------------------------------------


@pytest.mark.parametrize("part", ["center", "scale"])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_rows_are_the_same_if_their_moments_are(part, sign):
    """Up to round-off relative to standard deviations, or to the mean of constant columns."""
    before = Standardization(np.array([5.0, 1e6, 3.0]), np.array([2.0, 1e3, np.inf]))
    tolerance = SAME_MOMENTS_RTOL * np.array([2.0, 1e3, 4.0])
    check_same_rows(before, before)
    check_same_rows(None, before)
    check_same_rows(before, None)
    for j in range(3 if part == "center" else 2):
        step = sign * tolerance * (np.arange(3) == j)
        check_same_rows(before, before._replace(**{part: getattr(before, part) + 0.9 * step}))
        with pytest.raises(ValueError, match="other means or standard deviations"):
            check_same_rows(before, before._replace(**{part: getattr(before, part) + 1.1 * step}))
    for scale in ([2.0, 1e3, 5.0], [np.inf, 1e3, np.inf]):
        for one, other in ((before, scale), (before._replace(scale=np.array(scale)), before.scale)):
            with pytest.raises(ValueError, match="other means or standard deviations"):
                check_same_rows(one, before._replace(scale=np.array(other)))
    # Another number of columns is refused where columns are compared.
    check_same_rows(before, Standardization(np.zeros(2), np.ones(2)))


# --- experts and gates ----------------------------------------------------------------------------

TASK = Regression(False, 10.0)
OPTIONS = {"alpha": 0.5} | TASK.family_options()


def resolved(expert, family="normal", n_experts=2, shared_features=None):
    return resolve_experts(expert, family, n_experts, TASK, OPTIONS, shared_features)


def test_lists_of_equal_families_are_the_family():
    for entries in (["linear"] * 2, [LinearExperts(), LinearExperts()]):
        family, estimators, mean_family = resolved(entries)
        if isinstance(entries[0], str):
            assert (family, estimators, mean_family) == (None, entries, None)
        else:
            assert family == entries[0]
            assert (estimators, mean_family) == (None, None)
    for unlike in (
        [LinearExperts(), LinearExperts(alpha=9.0)],
        [LinearExperts(alpha=9.0), LinearExperts()],
        [LinearExperts(), "linear"],
        ["linear", LinearExperts()],
    ):
        with pytest.raises(ValueError, match=r"^expert\[[01]\] must be one of"):
            resolved(unlike)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "ordinal"])
def test_families_are_those_of_linear_predictors_or_of_means(name):
    family = example(name)
    for value in (name, family, [name, name], [family, name]):
        found = resolve_families(value, 2)
        assert found == (None if name == "normal" else (family,))
    linear, estimators, mean_family = resolved("linear", name)
    assert (estimators, mean_family) == (None, None)
    assert linear.is_classifier is False
    if not family.takes_mean:
        with pytest.raises(ValueError, match="has no mean that estimators could predict"):
            resolved(Ridge(), name)
    else:
        none, estimators, mean_family = resolved(Ridge(), name)
        assert none is None
        assert len(estimators) == 1
        assert (mean_family is None) == (name == "normal")
        assert mean_family is None or mean_family.family == family
    partner = "normal" if family.is_continuous or family.atoms else "poisson"
    mixed = [
        name,
        partner if name != partner else {"normal": "gamma"}.get(name, "negative_binomial"),
    ]
    assert resolve_families(mixed, 2) == tuple(example(entry) for entry in mixed)
    for bad, n_experts in (([name], 2), ([name] * 3, 2), ([], 1)):
        with pytest.raises(ValueError, match=r"^family as a list must have one entry for each"):
            resolve_families(bad, n_experts)


def test_families_with_other_options_are_others():
    assert len(resolve_families([StudentT(df=3.0), StudentT(df=4.0)], 2)) == 2
    assert len(resolve_families([StudentT(df=3.0), StudentT(df=3.0)], 2)) == 1


def test_shared_slopes_need_linear_predictors():
    family, *_ = resolved("linear", shared_features=[0])
    assert family.families == (Normal(),)
    for expert in ("tree", Ridge(), LinearExperts()):
        with pytest.raises(ValueError, match=r'^shared_features needs expert="linear"'):
            resolved(expert, shared_features=[0])


def test_the_parameter_that_chooses_the_density_is_named():
    assert name_of_density("linear", "gamma") == 'family="gamma"'
    assert name_of_density(["linear", "linear"], ["gamma", "normal"]) == (
        "family=['gamma', 'normal']"
    )
    assert name_of_density(LinearExperts(), "normal") == f"expert={LinearExperts()!r}"
    assert name_of_density([], "gamma") == 'family="gamma"'


@pytest.mark.parametrize("value", [-1.5, -1.0, 0.0, 0.5, 3.0])
@pytest.mark.parametrize("name", FAMILIES)
def test_targets_that_are_refused_are_advised_a_family_that_takes_them(name, value):
    params = MixtureOfExpertsRegressor(1, family=example(name))._validate_parameters()
    y, weight = np.array([0.0 if name == "zero" else 3.0, value]), np.ones(2)
    if params.family is not None and params.family.obstacle(y[None]):
        return
    check_support(params, y, weight * [1.0, 0.0])
    if params.family.in_support(y[None]).all():
        check_support(params, y, weight)
        return
    with pytest.raises(ValueError, match=rf"row 1 holds {value:g}\. ") as refusal:
        check_support(params, y, weight)
    advised = re.findall(r'"(\w+)"', str(refusal.value).split("or use")[1])
    takes = [bool(FAMILIES[family]().in_support(y[1:, None]).all()) for family in advised]
    # Of a list one family takes them; it is advised where zeros may be the reason.
    assert any(takes) if "zero" in advised else all(takes)
    assert "zero" not in advised or value in (0.0, 3.0)


@pytest.mark.parametrize("search", ["", "auto", "ard"])
@pytest.mark.parametrize("n_experts", [1, 2])
def test_the_penalty_of_a_gate_is_the_number_that_is_given(search, n_experts):
    option = PenaltyOption(7.0, search)
    for gate in ("softmax", SoftmaxGate(alpha=3.0)):
        found = resolve_gate(gate, option, n_experts)
        if n_experts == 1:
            assert found == ConstantGate()
        else:
            from_object = search and not isinstance(gate, str)
            assert found.alpha == (3.0 if from_object else 7.0)
    assert resolve_gate("constant", option, n_experts) == ConstantGate()


@dataclass(frozen=True)
class GateWithPenalty(ConstantGate):
    """A gate of a user, which has a penalty."""

    alpha: float = 3.0


def test_a_gate_of_a_user_keeps_its_penalty_unless_a_number_is_given():
    for option, wanted in (
        (PenaltyOption(7.0, "auto", is_default=True), 3.0),
        (PenaltyOption(7.0, "auto"), 3.0),
        (PenaltyOption(7.0), 7.0),
    ):
        assert resolve_gate(GateWithPenalty(), option, 2).alpha == wanted


# --- penalties that are found ---------------------------------------------------------------------

OWN_PENALTY = {"gate": SoftmaxGate(alpha=3.0), "expert": LinearExperts()}


@pytest.mark.parametrize("given", [None, 2.0, "auto", "ard"])
@pytest.mark.parametrize("base", [None, Ridge()])
@pytest.mark.parametrize("gate", ["softmax", "constant", SoftmaxGate(), OWN_PENALTY["gate"]])
@pytest.mark.parametrize("expert", ["linear", "tree", OWN_PENALTY["expert"]])
@pytest.mark.parametrize("n_experts", [1, 2])
def test_penalties_are_found_by_default_for_named_experts_without_a_base(
    n_experts, expert, gate, base, given
):
    """And where the search is explicit, for parts that have a penalty which can be found."""
    named = expert == "linear"
    by_default = named and base is None
    kinds = {None: "auto", "auto": "auto", "ard": "ard"}
    for name in ("alpha", "gate_alpha", "dispersion_prior"):
        if name == "dispersion_prior" and given == "ard":
            continue
        moe = MixtureOfExpertsRegressor(n_experts, expert=expert, gate=gate, base=base)
        moe.set_params(alpha=1.0, gate_alpha=1.0, dispersion_prior=1.0).set_params(**{name: given})
        can_be_found = gate != "constant" if name == "gate_alpha" else named
        if isinstance(given, str) and not can_be_found:
            with pytest.raises(ValueError, match=rf'^{name}="{given}" needs (gate|expert)s'):
                moe._validate_parameters()
            continue
        search = moe._validate_parameters().search
        found = {
            "gate_alpha": search.gate.slopes,
            "alpha": search.experts.slopes,
            "dispersion_prior": "auto" if search.experts.dispersions else "",
        }
        default = by_default and (
            name != "gate_alpha" or isinstance(gate, str) or gate.alpha is None
        )
        wanted = can_be_found and (isinstance(given, str) or (given is None and default))
        wanted = wanted and (name != "gate_alpha" or n_experts > 1)
        expected = dict.fromkeys(found, "")
        expected[name] = kinds[given] if wanted else ""
        assert found == expected


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3), (1, 1), (2, 2)])
@pytest.mark.parametrize("family", ["normal", "poisson"])
def test_a_fit_that_goes_on_has_as_many_outputs(family, before, after):
    X, y = np.arange(12.0)[:, None], np.arange(36.0).reshape(12, 3)
    moe = MixtureOfExpertsRegressor(1, family=family, warm_start=True, max_iter=2, random_state=0)
    quiet(moe, X, y[:, :before])
    if before == after:
        quiet(moe, X, y[:, :after])
        return
    with pytest.raises(ValueError, match=rf"y must have the {before} output\(s\) .* got {after}"):
        moe.fit(X, y[:, :after])


class WithOob:
    oob_score = True


def test_out_of_bag_predictions_need_every_expert_to_have_them():
    forest = RandomForestRegressor(oob_score=True)
    for cross_fit in ("auto", False, 5):
        check_out_of_bag(cross_fit, [Ridge()])
    check_out_of_bag("oob", None)
    check_out_of_bag("oob", [forest, WithOob()])
    for entries in ([Ridge(), forest], [forest, Ridge()], ["tree"], [RandomForestRegressor()]):
        with pytest.raises(ValueError, match='cross_fit="oob" needs experts with oob_score=True'):
            check_out_of_bag("oob", entries)


def test_missing_values_are_accepted_where_every_expert_does():
    boosted = HistGradientBoostingRegressor()
    for expert in ("tree", boosted, [boosted, "tree"], ("tree",), ["linear", "tree"]):
        assert accepts_missing(expert)
    assert not any(map(accepts_missing, EXPERTS))
    for expert in (Ridge(), [boosted, Ridge()], [], LinearExperts(), "forest", 3, None, Ridge):
        assert not accepts_missing(expert)
    assert not accepts_missing(SimpleNamespace())


def test_refusals_come_before_any_work():
    """With invalid parameters nothing of an earlier fit changes."""
    X = np.arange(12.0)[:, None]
    moe = MixtureOfExpertsRegressor(1, random_state=0).fit(X, X[:, 0])
    before = moe.predict(X)
    for name, (_, refused) in PARAMETERS.items():
        good = getattr(moe, name)
        with pytest.raises(ValueError, match=name):
            moe.set_params(**{name: refused[0]}).fit(X, -X[:, 0])
        moe.set_params(**{name: good})
    assert_array_equal(moe.predict(X), before)


@pytest.mark.parametrize("step", ["pathlib.Path.open", "os.fsync", "pathlib.Path.replace"])
def test_a_file_that_cannot_be_written_is_left_as_it_was(step, tmp_path, monkeypatch):
    """With the error that was the reason, and no other file."""
    path = tmp_path / "fit"
    write_file(path, b"one")

    def no_space(*given):
        raise OSError("no space")

    monkeypatch.setattr(step, no_space)
    with pytest.raises(OSError, match="no space"):
        write_file(path, b"two")
    monkeypatch.undo()
    assert read_file(path) == b"one"
    assert list(tmp_path.iterdir()) == [path]
    write_file(path, b"two")
    assert read_file(path) == b"two"
