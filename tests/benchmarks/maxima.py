"""How often a fit reaches the best known maximum of the likelihood, on thirty problems.

Published tables (tests/reference) and simulated ones: families of all kinds, two to five experts
with shares of 4 % and more, constant and softmax gates, units, shared slopes and dispersions, and
classes. Penalties are given, and next to nothing where the likelihood is bounded, so that all
strategies maximise the same function. A fit succeeds if it ends within 0.05 nats of the best value
that is known: that of the reference, or of the best of all fits. For each strategy: per cent of
seeds that succeed, and CPU seconds of a fit.

`BEST` holds values that few fits of a run reach, or none. That of motorcycle is the search's. That
of negative binomial was reached once, from the eight best maxima of a hundred starts: by eight
rounds of 72 swaps of an expert, and of 32 restarts with random weights. No option repeats that.

Commands that share a file of known values are judged by the best values of all of them. With
PYTHONPATH a command measures another version, on those problems (--only) that it can fit.

Usage: python tests/benchmarks/maxima.py --seeds 20 --known known.json
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from mixture import test_reference_families as families
from mixture import test_reference_mle as mle
from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor

STRATEGIES = {
    "default": {},
    "n_init=4": {"n_init": 4},
    "n_init=100": {"n_init": 100},
    "search": {"init": "search", "n_init": 1},
}
# Best objectives of problems, below which no fit of a run counts.
BEST = {"negative binomial": -1779.44, "motorcycle, normal": -537.73}
# Difference of log-likelihoods up to which two maxima are the same.
SAME = 0.05
SETTINGS = {"alpha": 1e-9, "gate_alpha": 1e-9, "max_iter": 5000, "tol": 1e-9}
STARTS = {"init": "auto", "n_init": "auto"}
# Penalties in nats of simulated tables: those of the gate, of classes and of ordered categories,
# which may be separable, keep coefficients finite. That of the dispersion, worth a row, keeps it
# from zero.
PENALTY, DISPERSION_PRIOR = 0.1, 1.0

FAMILIES = {
    "normal": lambda rng, eta, scale: rng.normal(eta, np.sqrt(scale)),
    "lognormal": lambda rng, eta, scale: rng.lognormal(eta, np.sqrt(scale)),
    "student_t": lambda rng, eta, scale: eta + np.sqrt(scale) * rng.standard_t(5, size=len(eta)),
    "gamma": lambda rng, eta, scale: rng.gamma(1 / scale, np.exp(0.7 * eta) * scale) + 1e-12,
    "inverse_gaussian": lambda rng, eta, scale: rng.wald(np.exp(0.7 * eta), np.exp(eta) / scale),
    "poisson": lambda rng, eta, scale: rng.poisson(np.exp(0.7 * eta + 1.0)),
    "negative_binomial": lambda rng, eta, scale: rng.poisson(
        rng.gamma(1 / scale, scale * np.exp(0.7 * eta + 1.0))
    ),
    "ordinal": lambda rng, eta, scale: np.digitize(rng.logistic(eta, 0.5), [-1.0, 0.0, 1.0]),
}
WITHOUT_DISPERSION = ("poisson", "ordinal")


def simulated(seed, family, shares, gate="constant", n_rows=400):
    """A mixture of regressions on two features with given shares of the rows."""
    rng = np.random.default_rng(seed)
    X, n_experts = rng.normal(size=(n_rows, 2)), len(shares)
    design = np.column_stack([X, np.ones(n_rows)])
    coef = rng.normal(size=(n_experts, 3))
    slopes = 1.5 * rng.normal(size=(n_experts, 3)) * (gate == "softmax")
    noise = rng.gumbel(size=(n_rows, n_experts))
    z = (design @ slopes.T + np.log(shares) + noise).argmax(axis=1)
    scale = 0.5 * np.exp(rng.uniform(-1.5, 0.0, size=n_experts))[z]
    y = FAMILIES[family](rng, (design * coef[z]).sum(axis=1), scale)
    moe = MixtureOfExpertsRegressor(n_experts, family=family, gate=gate, **SETTINGS)
    if family not in WITHOUT_DISPERSION:
        moe.set_params(dispersion_prior=DISPERSION_PRIOR)
    if family == "ordinal":
        moe.set_params(alpha=PENALTY)
    if gate == "softmax":
        moe.set_params(gate_alpha=PENALTY)
    return moe, (X, y.astype(float), {}), -np.inf


def classes(seed, n_experts, n_classes, n_rows=500):
    """A mixture of multinomial models of classes on two features."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, 2))
    design = np.column_stack([X, np.ones(n_rows)])
    slopes = 2.0 * rng.normal(size=(n_experts, 3))
    z = (design @ slopes.T + rng.gumbel(size=(n_rows, n_experts))).argmax(axis=1)
    coef = 2.0 * rng.normal(size=(n_experts, n_classes, 3))
    noise = rng.gumbel(size=(n_rows, n_classes))
    y = (np.einsum("ncd,nd->nc", coef[z], design) + noise).argmax(axis=1)
    settings = SETTINGS | {"alpha": PENALTY, "gate_alpha": PENALTY}
    return MixtureOfExpertsClassifier(n_experts, **settings), (X, y, {}), -np.inf


def of_families(name, **parameters):
    """A published table of tests/reference/families.json, and the value of the reference."""
    model = families.MODELS[name]
    moe, (X, y, weight, given), _ = families.described(model)
    given = given if weight is None else given | {"sample_weight": weight}
    known = -np.inf if parameters else model["loglik"] - families.log_coefficients(model)
    return moe.set_params(**SETTINGS | STARTS | parameters), (X, y, given), known


def of_mle(name, **parameters):
    """A published table of tests/reference/mle.json, and the value of the reference."""
    moe, X, y = mle.described(mle.MODELS[name])
    known = mle.MODELS[name].get("loglik", -np.inf)
    return moe.set_params(**SETTINGS | STARTS | parameters), (X, y, {}), known


PROBLEMS = {
    "ozone, gamma": lambda: of_families(
        "ozone_gamma_log_k1", n_experts=2, gate="constant", dispersion="shared"
    ),
    "researchers, Poisson": lambda: of_families("biochem_poisson_k2", n_experts=3),
    "sweets, Poisson": lambda: of_families("candy_poisson_k4"),
    "sweets, zeros and Poisson": lambda: of_families("candy_zip_k3"),
    "patents, shared slopes": lambda: of_families("patent_fixed_k3"),
    "seizures, offset": lambda: of_families("seizure_poisson_offset_k2"),
    "beta blockers, units": lambda: of_families("betablocker_fixed_k3"),
    "tones, Student's t": lambda: of_families("tone_t_k2"),
    "CO2, shared variance": lambda: of_families("co2_gate_k2_shared"),
    "jaws, units": lambda: of_families("orthodont_id_k2"),
    "motorcycle, normal": lambda: of_mle("mcycle_k4_restarts", dispersion_prior=0.01),
    "diabetes, normal": lambda: of_mle("diabetes_k2_bmi_s5_bp"),
    "tumours, classes": lambda: of_mle("breast_cancer_k2_classifier"),
    "normal, 60 30 10 %": lambda: simulated(1, "normal", [0.6, 0.3, 0.1]),
    "normal, 50 30 15 5 %": lambda: simulated(2, "normal", [0.5, 0.3, 0.15, 0.05]),
    "normal, equal": lambda: simulated(3, "normal", [0.2] * 5, n_rows=500),
    "normal, gate": lambda: simulated(4, "normal", [0.2] * 5, "softmax", n_rows=600),
    "normal, 96 4 %": lambda: simulated(5, "normal", [0.96, 0.04]),
    "lognormal": lambda: simulated(6, "lognormal", [0.6, 0.3, 0.1]),
    "Student's t": lambda: simulated(7, "student_t", [0.5, 0.3, 0.2]),
    "Student's t, gate": lambda: simulated(8, "student_t", [0.7, 0.3], "softmax"),
    "gamma": lambda: simulated(10, "gamma", [0.4, 0.3, 0.2, 0.1]),
    "inverse Gaussian": lambda: simulated(11, "inverse_gaussian", [0.7, 0.3]),
    "Poisson": lambda: simulated(12, "poisson", [0.6, 0.3, 0.1]),
    "Poisson, 5 experts": lambda: simulated(13, "poisson", [0.3, 0.25, 0.2, 0.15, 0.1]),
    "Poisson, gate": lambda: simulated(14, "poisson", [0.6, 0.3, 0.1], "softmax"),
    "negative binomial": lambda: simulated(16, "negative_binomial", [0.5, 0.3, 0.2], n_rows=600),
    "ordinal": lambda: simulated(17, "ordinal", [0.7, 0.3]),
    "three classes": lambda: classes(18, 3, 3),
    "two classes": lambda: classes(19, 4, 2),
}


def result(moe, data, seed, strategy):
    """Objective at the end of a fit, and CPU seconds."""
    X, y, given = data
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of collapsed experts and slow convergence
        moe.set_params(random_state=seed, **STARTS | strategy).fit(X, y, **given)
    seconds = time.process_time() - begin
    total = np.sum(given.get("sample_weight", np.ones(len(y))))
    return moe.lower_bound_ * total, seconds


def main():
    """Print a line for each problem, and the means of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="*", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--strategies", nargs="*", default=list(STRATEGIES), choices=STRATEGIES)
    parser.add_argument("--known", type=Path, help="file of best known values, which is updated")
    arguments = parser.parse_args()
    known = {}
    if arguments.known and arguments.known.exists():
        known = json.loads(arguments.known.read_text("utf-8"))
    print("| problem | K |" + "".join(f" {name} |" for name in arguments.strategies))
    print("|---|---|" + "---|" * len(arguments.strategies))
    means = []
    for name in arguments.only:
        moe, data, reference = PROBLEMS[name]()
        results = np.array(
            [
                [result(moe, data, seed, STRATEGIES[s]) for seed in range(arguments.seeds)]
                for s in arguments.strategies
            ]
        )
        values = results[..., 0]
        others = [known.get(name, -np.inf), BEST.get(name, -np.inf)]
        best = known[name] = max(values.max(), reference, *others)
        hits = 100.0 * (values > best - SAME).mean(axis=1)
        means.append(np.column_stack([hits, results[..., 1].mean(axis=1)]))
        print_line(f"{name} | {moe.n_experts}", means[-1])
        if arguments.known:
            arguments.known.write_text(json.dumps(known, indent=1), "utf-8")
    print_line("**all** | ", np.mean(means, axis=0))


def print_line(title, figures):
    cells = [f"{hits:.0f} % ({seconds:.2f})" for hits, seconds in figures]
    print(f"| {title} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
