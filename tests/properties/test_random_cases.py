"""Random estimators on random tables have all properties; `--random-cases` makes more of them."""

from properties.checks import check
from properties.random_cases import make_case
from skmoe.experts import EXPERTS
from skmoe.gates import GATES

N_CHUNKS = 4


def pytest_generate_tests(metafunc):
    if "seeds" in metafunc.fixturenames:
        n_cases = metafunc.config.getoption("--random-cases")
        chunks = [range(start, n_cases, N_CHUNKS) for start in range(N_CHUNKS)]
        metafunc.parametrize("seeds", chunks, ids=map(str, range(N_CHUNKS)))


def test_random_fits_have_all_properties(seeds, global_random_seed):
    failures, n_fitted = [], 0
    for seed in seeds:
        seed += 10_000 * global_random_seed
        try:
            n_fitted += check(seed)
        except AssertionError as failure:
            failures.append(str(failure))
    assert not failures, "\n\n".join(failures)
    assert n_fitted or len(seeds) < 10, "all cases are refused"


def test_random_cases_have_every_registered_expert_and_gate_and_outcomes_and_effects():
    """All families and gates are among the cases, without which they would not be checked."""
    moes = [make_case(seed).estimator for seed in range(400)]
    named = {moe.expert for moe in moes if isinstance(moe.expert, str)}
    assert set(EXPERTS) <= named
    assert {moe.gate for moe in moes if isinstance(moe.gate, str)} == set(GATES)
    params = [moe.get_params() for moe in moes]
    assert any(isinstance(own.get("family"), dict) for own in params)
    assert any(own.get("random_features") is not None for own in params)
    kinds = {type(moe.expert) for moe in moes}
    assert {family for row in EXPERTS.values() for family in row.values()} <= kinds
