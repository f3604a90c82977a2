"""Packages of R that fit the same models: flexmix, mixtools, MoEClust and lcmm.

The models are those of the vignettes and help pages of the packages, as far as skmoe has them, and
the tables are data of R. Penalties of skmoe are next to nothing, and flexmix removes no component,
so that both maximise the same likelihood. Printed are, over all seeds:

- the log-likelihoods: the best that is known, the best of single starts of the package, and the
  median of default fits of skmoe, which choose from eight starts;
- the per cent of fits that end within 0.05 of the best: with one start and with several starts of
  the package, and with the default of skmoe;
- the CPU seconds of such a fit.

The best known value is the best of all fits, of a search by skmoe, and of fits that each package
continues from the responsibilities of the other's best. Variances of flexmix are corrected for
degrees of freedom, so that its likelihood is slightly lower at the same maximum. A package that can
be continued is therefore judged by its own values. The last lines compare these values and the
numbers of parameters.

Usage: apt-get install r-cran-flexmix r-cran-mixtools
python tests/benchmarks/flexmix.py --packages flexmix mixtools [--many-rows]
MoEClust and lcmm are in no distribution. Install their sources into a folder that R_LIBS names.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markdown import print_table
from scipy.special import comb
from speed import simulate

sys.path.insert(0, str(Path(__file__).parents[1]))

from mixture.test_reference_families import successes_and_failures
from skmoe import MixtureOfExpertsRegressor

SETTINGS = {"alpha": 1e-9, "gate_alpha": 1e-9, "dispersion_prior": 0, "max_iter": 5000, "tol": 1e-9}
# Difference of log-likelihoods up to which two maxima are the same.
SAME = 0.05


class Problem(NamedTuple):
    """A table and a model, in the words of R and in those of skmoe."""

    package: str
    table: str  # expression in R
    calls: dict[str, str]  # in R: with "one" start, with "several", "continued" from `start`
    y: str | list[str]  # columns of the target
    options: dict[str, Any]  # parameters of skmoe, with names of columns
    given: dict[str, str]  # columns of units, weights, offsets and trials


GIVEN = ("units", "sample_weight", "offset", "trials")
# Of a fit of each package: log-likelihood, number of parameters and responsibilities of the rows.
RESULTS = {
    "flexmix": ("as.numeric(logLik(fit))", "attr(logLik(fit), 'df')", "posterior(fit)"),
    "mixtools": ("fit$loglik", "NA", "fit$posterior"),
    "MoEClust": ("max(fit$loglik)", "fit$df", "fit$z"),
    "lcmm": (
        "fit$loglik",
        "length(fit$best)",
        "fit$pprob[match(d$subject, fit$pprob[, 1]), -(1:2)]",
    ),
}

# Without responsibilities to start from, the script only writes the table.
SCRIPT = """
suppressMessages(library({package}))
data(list = sub(" .*", "", data(package = "{package}")$results[, "Item"]))
d <- {table}
if (!file.exists("start.csv")) {{
  write.csv(d, "table.csv", row.names = FALSE)
  writeLines(as.character(packageVersion("{package}")), "version")
  quit()
}}
start <- as.matrix(read.csv("start.csv"))
calls <- expression(one = {one}, several = {several}, continued = {continued})
best <- -Inf
run <- function(strategy, seed) {{
  set.seed(seed)
  begin <- sum(proc.time()[1:2])
  capture.output(suppressMessages(
    fit <- tryCatch(suppressWarnings(eval(calls[[strategy]])), error = function(e) NULL)
  ))
  seconds <- sum(proc.time()[1:2]) - begin
  if (is.null(fit)) return(data.frame(strategy, seed, loglik = NA, df = NA, seconds))
  loglik <- {loglik}
  if (loglik > best) {{
    best <<- loglik
    write.csv({posterior}, "posterior.csv", row.names = FALSE)
  }}
  data.frame(strategy, seed, loglik, df = {df}, seconds)
}}
fits <- lapply({seeds}, function(seed) rbind(run("one", seed), run("several", seed)))
write.csv(do.call(rbind, c(fits, list(run("continued", 1)))), "fits.csv", row.names = FALSE)
"""

FAMILIES = {"normal": "gaussian", "poisson": "poisson", "ordinal": "binomial"}
CONTROL = "iter.max = 5000, minprior = 0"


def parameters(k, own, shared=(), gate=()):
    """Parameters of skmoe: columns with slopes of each expert, with slopes of all, of the gate."""
    return {
        "n_experts": k,
        "expert_features": [*own, *shared],
        "shared_features": list(shared) or None,
        "gate": "softmax" if gate else "constant",
        "gate_features": list(gate) or None,
    }


def flexmix(table, k, y, own=(), *, shared=(), gate=(), family="normal", driver="", **options):
    """A model of flexmix with slopes of each component, of all, and of concomitant variables."""
    given = {name: options.pop(name) for name in GIVEN if name in options}
    fixed = f"fix(fixed = ~ {' + '.join(shared)}, " if shared else "("
    offset = f", offset = d${given['offset']}" if "offset" in given else ""
    driver = driver or f"FLXMRglm{fixed}family = '{FAMILIES[family]}'{offset})"
    target = f"cbind({y}, {given['trials']} - {y})" if "trials" in given else y
    target = f"cbind({', '.join(y)})" if isinstance(y, list) else target
    call = f"{target} ~ {' + '.join(own or ['1'])}"
    call += f" | {given['units']}" if "units" in given else ""
    call += f", data = d, k = {k}, model = {driver}"
    call += f", concomitant = FLXPmultinom(~ {' + '.join(gate)})" if gate else ""
    call += f", weights = ~ {given['sample_weight']}" if "sample_weight" in given else ""
    one = f"flexmix({call}, control = list({CONTROL}, tolerance = 1e-8)"
    several = f"initFlexmix({call}, control = list({CONTROL}), nrep = 5, verbose = FALSE"
    calls = {
        "one": f"{one})",
        "several": f"{several}, init = list(step2 = list(tolerance = 1e-8)))",
        "continued": f"{one}, cluster = start)",
    }
    ours = parameters(k, own, shared, gate) | {"family": family} | options
    return Problem("flexmix", table, calls, y, ours, given)


NPREG = "transform(NPreg, x2 = x^2, id2 = as.integer(id2))"
NREGFIX = "with(NregFix, data.frame(y = y[, 1], x1, x2 = +(x2 == 1), w = +(w == 1)))"
CENTRES = "transform(betablocker, Treated = +(Treatment == 'Treated'), Center = as.integer(Center))"
SITES = "transform(Mehta, Control = +(Drug == 'Control'), Site = as.integer(Site))"
BEETLES = """transform(tribolium, Confusum = +(Species == 'Confusum'),
  Other = +(as.integer(Species) == 3), Second = +(Replicate == 2), Third = +(Replicate == 3))"""
CHEMISTS = "transform(bioChemists, fem = +(fem == 'Women'), mar = +(mar == 'Married'))"
CHEMIST = ["fem", "mar", "kid5", "phd", "ment"]
TOOTH = ["Begin", "Male", "White", "Black", "Educ", "All", "Enrich", "Rinse", "Hygiene"]
TEETH = f"""cbind(dmft["End"], structure(
  model.matrix(~ log(Begin + 0.5) + Gender + Ethnic + Treatment, dmft)[, -1],
  dimnames = list(NULL, c{tuple(TOOTH)})))"""
SEIZURES = """with(seizure, data.frame(Seizures, Log.Hours = log(Hours), Log.Day = log(Day),
  Treated = +(Treatment == 'Yes'), Both = log(Day) * (Treatment == 'Yes')))"""
TRYPANOSOMES = "with(trypanosome, data.frame(Dead = +(Dead == 1), Log.Dose = log(Dose), One = 1))"
SALMONELLA = "transform(salmonellaTA98, Log.Dose = log(x + 10))"
FABRICS = "transform(fabricfault, Log.Length = log(Length))"
COUNTS = {"family": "poisson"}
DEATHS = {"family": "ordinal", "trials": "Total", "units": "Center"}
RESPONSES = {"family": "ordinal", "trials": "Total", "units": "Site"}
REMAINING = {"family": "ordinal", "trials": "Total"}
CLOUDS = ("as.data.frame(Nclus)", 4, ["V1", "V2"])

FLEXMIX = {
    "NPreg": flexmix(NPREG, 2, "yn", ["x", "x2"]),
    "NPreg, units": flexmix(NPREG, 2, "yn", ["x", "x2"], units="id2"),
    "NPreg, Poisson": flexmix(NPREG, 2, "yp", ["x"], **COUNTS),
    "NPreg, counts as normal": flexmix(NPREG, 2, "yp", ["x", "x2"]),
    "Nclus, diagonal": flexmix(*CLOUDS, driver="FLXMCmvnorm(diagonal = TRUE)"),
    "Nclus, full": flexmix(*CLOUDS, driver="FLXMCmvnorm(diagonal = FALSE)", covariance_type="full"),
    "NregFix, concomitant": flexmix(NREGFIX, 3, "y", ["x1", "x2"], gate=["w"]),
    "NregFix, nested": flexmix(
        NREGFIX,
        3,
        "y",
        gate=["w"],
        driver="""FLXMRglmfix(fixed = ~ x2, varFix = TRUE,
          nested = list(k = c(1, 2), formula = c(~ 0, ~ x1)))""",
        expert_features=[["x2"], ["x2", "x1"], ["x2", "x1"]],
        shared_features={"x2": [0, 1, 2], "x1": [1, 2]},
        dispersion="shared",
    ),
    "betablocker, k=2": flexmix(CENTRES, 2, "Deaths", shared=["Treated"], **DEATHS),
    "betablocker, k=3": flexmix(CENTRES, 3, "Deaths", shared=["Treated"], **DEATHS),
    "betablocker, k=4": flexmix(CENTRES, 4, "Deaths", shared=["Treated"], **DEATHS),
    "betablocker, free": flexmix(CENTRES, 3, "Deaths", ["Treated"], **DEATHS),
    "betablocker, nested": flexmix(
        CENTRES,
        3,
        "Deaths",
        driver="""FLXMRglmfix(family = 'binomial',
          nested = list(k = c(2, 1), formula = c(~ Treated, ~ 0)))""",
        expert_features=[["Treated"], ["Treated"], []],
        shared_features={"Treated": [0, 1]},
        **DEATHS,
    ),
    "Mehta": flexmix(SITES, 3, "Response", shared=["Control"], **RESPONSES),
    "Mehta, free": flexmix(SITES, 3, "Response", ["Control"], **RESPONSES),
    "Mehta, 21 sites": flexmix(
        f"subset({SITES}, Site != 15)", 2, "Response", shared=["Control"], **RESPONSES
    ),
    "tribolium": flexmix(
        BEETLES,
        2,
        "Remaining",
        shared=["Confusum", "Other"],
        gate=["Second", "Third"],
        **REMAINING,
    ),
    "tribolium, Wang": flexmix(
        BEETLES, 2, "Remaining", shared=["Confusum"], gate=["Third"], **REMAINING
    ),
    "tribolium, 26 rows": flexmix(
        f"({BEETLES})[-7, ]", 2, "Remaining", shared=["Confusum"], gate=["Third"], **REMAINING
    ),
    "trypanosome": flexmix(
        TRYPANOSOMES, 2, "Dead", shared=["Log.Dose"], family="ordinal", trials="One"
    ),
    "fabricfault": flexmix(FABRICS, 2, "Faults", shared=["Log.Length"], **COUNTS),
    "patent": flexmix("patent", 3, "Patents", ["lgRD"], gate=["RDS"], **COUNTS),
    "patent, fixed": flexmix("patent", 3, "Patents", shared=["lgRD"], gate=["RDS"], **COUNTS),
    "seizure": flexmix(
        SEIZURES, 2, "Seizures", ["Treated", "Log.Day", "Both"], offset="Log.Hours", **COUNTS
    ),
    "salmonellaTA98": flexmix(SALMONELLA, 2, "y", shared=["x", "Log.Dose"], **COUNTS),
    "bioChemists": flexmix(CHEMISTS, 2, "art", CHEMIST, **COUNTS),
    "bioChemists, fixed": flexmix(
        CHEMISTS, 2, "art", ["fem", "phd"], shared=["kid5", "mar", "ment"], **COUNTS
    ),
    "bioChemists, one slope": flexmix(
        CHEMISTS, 2, "art", ["fem"], shared=["kid5", "mar", "ment"], **COUNTS
    ),
    "bioChemists, concomitant": flexmix(
        CHEMISTS, 2, "art", shared=["kid5", "mar", "ment"], gate=["fem"], **COUNTS
    ),
    "bioChemists, intercepts": flexmix(
        CHEMISTS, 2, "art", shared=["kid5", "ment", "fem"], **COUNTS
    ),
    "dmft, zeros": flexmix(
        TEETH, 2, "End", TOOTH, driver="FLXMRziglm(family = 'poisson')", family=["zero", "poisson"]
    ),
    "BregFix": flexmix(
        "transform(BregFix, all = yes + no, w = +(w == 1))",
        3,
        "yes",
        gate=["w"],
        family="ordinal",
        trials="all",
        driver="""FLXMRglmfix(family = 'binomial',
          nested = list(formula = c(~ x, ~ 0), k = c(2, 1)))""",
        expert_features=[["x"], ["x"], []],
        shared_features={"x": [0, 1]},
    ),
    "candy": flexmix("candy", 4, "Packages", sample_weight="Freq", **COUNTS),
}


def best_of(call, n=5):
    """The best of several fits of a package that makes one."""
    fits = f"lapply(1:{n}, function(i) {call})"
    return f"Reduce(function(a, b) if (a$loglik > b$loglik) a else b, {fits})"


def mixtools(function, table, y, x, k=2, **options):
    """A mixture of regressions of mixtools."""
    call = f"{function}(d${y}, d${x}, k = {k})"
    calls = {"one": call, "several": best_of(call)}
    ours = parameters(k, [x], gate=[x] if function == "hmeEM" else [])
    return Problem("mixtools", table, calls, y, ours | options, {})


def moeclust(table, k, y, own=(), gate=(), model="VVV", **options):
    """Experts with covariance matrices of MoEClust; its default start is a hierarchical one."""
    target = f"subset(d, select = c({', '.join(y)}))" if isinstance(y, list) else f"d${y}"
    call = f"MoE_clust({target}, G = {k}, modelNames = '{model}', network.data = d"
    call += f", gating = ~ {' + '.join(gate or ['1'])}, expert = ~ {' + '.join(own or ['1'])}"
    call += ", tol = rep(1e-8, 3), verbose = FALSE"
    calls = {
        "one": f"{call})",
        "several": f"{call}, init.z = 'random', nstarts = 5)",
        "continued": f"{call}, init.z = 'list', z.list = list(start))",
    }
    covariance = {"covariance_type": "full" if isinstance(y, list) else "diag"}
    ours = parameters(k, own, gate=gate) | covariance | options
    return Problem("MoEClust", table, calls, y, ours, {})


def lcmm(table, k, y, own, *, shared=(), gate=()):
    """A latent class linear mixed model of lcmm, without random effects."""
    both = " + ".join([*own, *shared])
    call = f"hlme({y} ~ {both}, subject = 'subject', data = d"
    minimal = f"{call}, ng = 1)"
    classes = f"~ {' + '.join(gate or ['1'])}"
    call += f", ng = {k}, mixture = ~ {' + '.join(own)}, classmb = {classes}"
    calls = {
        "one": f"{{m <<- {minimal}; {call}, B = random(m))}}",
        "several": f"{{m <<- {minimal}; gridsearch({call}), rep = 5, maxiter = 10, minit = m)}}",
    }
    ours = parameters(k, own, shared, gate) | {"dispersion": "shared"}
    return Problem("lcmm", table, calls, y, ours, {"units": "subject"})


ATHLETES = "transform(ais, male = +(sex == 'male'))"
BLOOD = ["RCC", "WCC", "Hc", "Hg", "Fe"]
AGEING = """na.omit(with(paquid,
  data.frame(subject = ID, MMSE, decade = (age - 65) / 10, square = (age - 65)^2 / 100, CEP)))"""
JAWS = """with(nlme::Orthodont, data.frame(subject = as.integer(Subject), distance, age,
  female = +(Sex == 'Female')))"""

PROBLEMS = {
    "flexmix": FLEXMIX,
    "mixtools": {
        "NOdata": mixtools("regmixEM", "NOdata", "Equivalence", "NO"),
        "NOdata, hmeEM": mixtools("hmeEM", "NOdata", "Equivalence", "NO"),
        "CO2data": mixtools("regmixEM", "CO2data[1:2]", "CO2", "GNP"),
        "CO2data, hmeEM": mixtools("hmeEM", "CO2data[1:2]", "CO2", "GNP"),
        "tonedata": mixtools("regmixEM", "tonedata", "tuned", "stretchratio"),
        "tonedata, k=3": mixtools("regmixEM", "tonedata", "tuned", "stretchratio", 3),
        "faithful": mixtools("regmixEM", "faithful", "waiting", "eruptions"),
        "quakes": mixtools("poisregmixEM", "quakes", "stations", "mag", family="poisson"),
    },
    "MoEClust": {
        "CO2data": moeclust("CO2data[1:2]", 2, "CO2", ["GNP"], ["GNP"], "V"),
        "CO2data, shared": moeclust(
            "CO2data[1:2]", 2, "CO2", ["GNP"], ["GNP"], "E", dispersion="shared"
        ),
        "ais": moeclust(ATHLETES, 2, BLOOD, ["male"], ["BMI"]),
        "ais, shared": moeclust(ATHLETES, 2, BLOOD, ["male"], ["BMI"], "EEE", dispersion="shared"),
    },
    "lcmm": {
        "data_hlme": lcmm(
            "transform(data_hlme, subject = ID)", 2, "Y", ["Time"], shared=["X1"], gate=["X2", "X3"]
        ),
        "data_hlme, k=3": lcmm("transform(data_hlme, subject = ID)", 3, "Y", ["Time"]),
        "paquid": lcmm(AGEING, 2, "MMSE", ["decade", "square"], gate=["CEP"]),
        "paquid, k=3": lcmm(AGEING, 3, "MMSE", ["decade", "square"], shared=["CEP"]),
        "paquid, k=4": lcmm(AGEING, 4, "MMSE", ["decade", "square"], shared=["CEP"]),
        "Orthodont": lcmm(JAWS, 2, "distance", ["age"], gate=["female"]),
    },
}


class Rows(NamedTuple):
    """What `fit` receives, and the terms of the log-likelihood that skmoe leaves out."""

    X: pd.DataFrame
    y: Any
    given: dict[str, Any]
    constant: float


def rows_of(problem, table):
    """The rows of a problem. Binomial counts are two rows of a unit, with weights."""
    given = {name: table[column].to_numpy() for name, column in problem.given.items()}
    used = np.hstack([*problem.options["expert_features"], problem.options["gate_features"] or []])
    names = [name for name in table if name in used] or list(table)
    X, y = table[names], table[problem.y].to_numpy(dtype=float)
    if (trials := given.pop("trials", None)) is None:
        return Rows(X, y, given, 0.0)
    constant = np.log(comb(trials, y)).sum()
    values, y, weight, units = successes_and_failures(
        X.to_numpy(dtype=float), y, trials, given.get("units")
    )
    given |= {"sample_weight": weight, "units": units}
    return Rows(pd.DataFrame(values, columns=names), y, given, constant)


def fitted(problem, rows, **parameters):
    """The fitted mixture, its log-likelihood, number of parameters and CPU seconds."""
    moe = MixtureOfExpertsRegressor(**SETTINGS | problem.options | parameters)
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of collapsed experts and slow convergence
        moe.fit(rows.X, rows.y, **rows.given)
    seconds = time.process_time() - begin
    weight = rows.given.get("sample_weight", 1.0)
    if "units" in rows.given:
        scores = moe.score_samples(rows.X, rows.y, **rows.given)
    else:
        scores = weight * moe.score_samples(rows.X, rows.y, offset=rows.given.get("offset"))
    return moe, scores.sum() + rows.constant, moe.n_parameters_, seconds


def run_in_r(problem, folder, n_seeds):
    """Run the calls in R, or write its table if nothing has been fitted yet."""
    loglik, df, posterior = RESULTS[problem.package]
    script = SCRIPT.format(
        package=problem.package,
        table=problem.table,
        loglik=loglik,
        df=df,
        posterior=posterior,
        seeds=f"1:{n_seeds}",
        **{"continued": "NULL"} | problem.calls,
    )
    command = ["Rscript", "--vanilla", "-e", script]
    run = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
    if run.returncode:
        raise SystemExit(f"R fails with package {problem.package}:\n{run.stderr}")


def compared(problem, n_seeds):
    """The version of the package, fits of skmoe and of the package, and the best that is known."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_in_r(problem, folder, n_seeds)
        table = pd.read_csv(folder / "table.csv")
        rows = rows_of(problem, table)
        fits = [fitted(problem, rows, random_state=seed) for seed in range(n_seeds)]
        search = fitted(problem, rows, init="search", random_state=0)
        moe, value, *_ = max([*fits, search], key=lambda fit: fit[1])
        resp = moe.responsibilities(rows.X, rows.y, **rows.given)
        if "units" in rows.given:
            resp = resp.rows(rows.given["units"])
        pd.DataFrame(resp[: len(table)]).to_csv(folder / "start.csv", index=False)
        run_in_r(problem, folder, n_seeds)
        theirs = pd.read_csv(folder / "fits.csv")
        start = pd.read_csv(folder / "posterior.csv").to_numpy()
        version = (folder / "version").read_text("utf-8").strip()
    start = np.tile(start, (len(rows.y) // len(table), 1))
    _, continued, *_ = fitted(problem, rows, init=start, n_init=1)
    ours = pd.DataFrame([fit[1:] for fit in fits], columns=["loglik", "df", "seconds"])
    return version, ours, theirs, max(value, continued)


# One fit of flexmix with concomitant variables: its CPU seconds and its log-likelihood.
SCRIPT_OF_MANY_ROWS = """
suppressMessages(library(flexmix))
d <- read.csv("table.csv")
set.seed({seed})
begin <- sum(proc.time()[1:2])
fit <- flexmix(y ~ . - y, data = d, k = 4, concomitant = FLXPmultinom(~ . - y))
cat(sum(proc.time()[1:2]) - begin, as.numeric(logLik(fit)))
"""


def many_rows(n_seeds):
    """Print CPU seconds of default fits of 20,000 rows, ten features and four regimes."""
    X, y, _ = simulate(20_000, 10, 4)
    table = pd.DataFrame(X, columns=[f"x{j}" for j in range(10)]).assign(y=y)
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        table.to_csv(Path(folder) / "table.csv", index=False)
        for seed in range(n_seeds):
            command = ["Rscript", "--vanilla", "-e", SCRIPT_OF_MANY_ROWS.format(seed=seed)]
            run = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=True)
            theirs.append([float(number) for number in run.stdout.split()])
            moe = MixtureOfExpertsRegressor(4, random_state=seed)
            begin = time.process_time()
            moe.fit(X, y)
            seconds = time.process_time() - begin
            ours.append([seconds, moe.score_samples(X, y).sum()])
            print(f"flexmix {theirs[-1]}, skmoe {ours[-1]}", flush=True)
    fits = {"flexmix, one start": np.array(theirs), "skmoe, default": np.array(ours)}
    columns = ["median seconds", "median log-likelihood"]
    cells = {n: [f"{v:.2f}" for v in np.median(f, axis=0)] for n, f in fits.items()}
    print_table(f"20,000 x 10, four regimes, {n_seeds} seeds", columns, cells)
    seconds = [np.median(fit[:, 0]) for fit in fits.values()]
    print(f"\nskmoe is {seconds[0] / seconds[1]:.0f} times as fast")


class Comparison(NamedTuple):
    """A line of the table, and what tells whether the models are the same."""

    cells: list[str]
    difference: float  # of the log-likelihoods of the packages at the best maximum
    df: set[float]


def comparison(ours, theirs, best):
    """Compare fits with the best that is known, those of a package with its own value there."""
    by = theirs.groupby("strategy")
    continued = by.loglik.max().get("continued", np.nan)
    own = max(theirs.loglik.max(), best if np.isnan(continued) else continued)
    best = own if np.isnan(continued) else best
    values = [best, by.loglik.max()["one"], ours.loglik.median()]
    hits = [*(by.loglik.apply(lambda v: np.mean(v > own - SAME))[["one", "several"]])]
    hits.append(np.mean(ours.loglik > best - SAME))
    seconds = [*by.seconds.mean()[["one", "several"]], ours.seconds.mean()]
    cells = [f"{value:.2f}" for value in values]
    cells += [f"{100 * hit:.0f}" for hit in hits] + [f"{time:.2f}" for time in seconds]
    return Comparison(cells, best - own, {*ours.df, *theirs.df.dropna()})


def main():
    """Print a table for each package."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--packages", nargs="*", default=list(PROBLEMS), choices=PROBLEMS)
    parser.add_argument("--only", default="", help="part of the names of the models")
    parser.add_argument("--many-rows", action="store_true", help="compare times on 20,000 rows")
    arguments = parser.parse_args()
    if not shutil.which("Rscript"):
        raise SystemExit("Rscript is missing: install R, such as by apt-get install r-base-core.")
    if arguments.many_rows:
        many_rows(arguments.seeds)
        return
    for package in arguments.packages:
        problems = {n: p for n, p in PROBLEMS[package].items() if arguments.only in n}
        results = {}
        for name, problem in problems.items():
            version, *fits = compared(problem, arguments.seeds)
            results[name] = comparison(*fits)
            print(f"{package} {version}, {name}: {results[name]}", flush=True)
        strategies = ["1 start", "5 starts", "skmoe"]
        columns = ["best", package, "skmoe"]
        columns += [f"{name}, {unit}" for unit in "%s" for name in strategies]
        print_table(f"{package} {version}", columns, {n: r.cells for n, r in results.items()})
        print(f"\nLargest difference: {max(abs(r.difference) for r in results.values()):.3f}")
        print(f"Other numbers of parameters: {[n for n, r in results.items() if len(r.df) > 1]}")


if __name__ == "__main__":
    main()
