"""One expert without penalty has the estimates and standard errors of statsmodels."""

import warnings
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy.special import expit
from statsmodels.miscmodels.ordinal_model import OrderedModel
from statsmodels.miscmodels.tmodel import TLinearModel
from statsmodels.othermod.betareg import BetaModel

from skmoe import MixtureOfExpertsRegressor
from skmoe.families import StudentT

N = 400
_rng = np.random.default_rng(0)
X = _rng.normal(size=(N, 2))
PREDICTOR = 0.5 + X @ [0.4, -0.3]
DESIGN = sm.add_constant(X)
EXPOSURE = _rng.uniform(0.2, 3.0, size=N)
WEIGHT = _rng.integers(1, 4, size=N)
MEAN = EXPOSURE * np.exp(PREDICTOR)

Y = {
    "normal": PREDICTOR + 0.5 * _rng.normal(size=N),
    "student_t": PREDICTOR + 0.5 * _rng.standard_t(4.0, size=N),
    "lognormal": np.exp(PREDICTOR + 0.5 * _rng.normal(size=N)),
    "gamma": MEAN * _rng.gamma(2.0, 0.5, size=N),
    "poisson": _rng.poisson(MEAN).astype(float),
    "negative_binomial": _rng.negative_binomial(1 / 0.7, 1 / (1 + 0.7 * MEAN)).astype(float),
    "ordinal": 1.0 + (PREDICTOR + _rng.logistic(size=N) > [[-1.0], [0.0], [1.5]]).sum(axis=0),
}


def mixture(family, n_experts=1, **options):
    """A mixture without penalties, at the maximum of its likelihood."""
    options = {"alpha": 0.0, "dispersion_prior": 0.0, "tol": 1e-14, "max_iter": 2000} | options
    return MixtureOfExpertsRegressor(n_experts, family=family, random_state=0, **options)


def maximum(model, **options):
    """Fit of a model of statsmodels, to the precision of its optimiser."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")  # line searches end at the round-off of the likelihood
        return model().fit(disp=0, maxiter=1000, **options)


def log_likelihood(moe, family, **options):
    weight = options.pop("weight", 1.0)
    return (weight * moe.score_samples(X, Y[family], **options)).sum()


def errors(moe, family, **options):
    """Standard errors: of the intercept, the slopes and the log dispersions."""
    return moe.inference(X, Y[family], **options).standard_errors


def assert_same_coefficients(moe, params):
    """`params` has the intercept first."""
    found = np.concatenate([moe.expert_intercept_, moe.expert_coef_[0]])
    assert_allclose(found, np.asarray(params)[:3], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "attribute"), {"normal": "noise_variance_", "lognormal": "dispersion_"}.items()
)
def test_least_squares(name, attribute):
    """Of the logarithm, whose density has the factor 1 / y."""
    y = Y[name]
    logs, factor = (y, 0.0) if name == "normal" else (np.log(y), np.log(y).sum())
    fitted, single = mixture(name).fit(X, y), sm.OLS(logs, DESIGN).fit()
    assert_same_coefficients(fitted, single.params)
    assert_allclose(getattr(fitted, attribute), single.ssr / N)
    assert_allclose(log_likelihood(fitted, name), single.llf - factor)
    scaled = single.bse * np.sqrt(single.df_resid / N)  # statsmodels divides by n - 3
    assert_allclose(errors(fitted, name)[:3], scaled, rtol=1e-6)


@pytest.mark.parametrize("df", [None, 4.0])
def test_student_t(df):
    y = Y["student_t"]
    fitted = mixture(StudentT(df=df)).fit(X, y)
    # statsmodels estimates the scale; degrees of freedom are its parameter before it.
    single = maximum(lambda: TLinearModel(y, DESIGN, fix_df=df or False), method="bfgs", gtol=1e-9)
    assert_same_coefficients(fitted, single.params)
    assert_allclose(np.sqrt(fitted.dispersion_[0]), single.params[-1], rtol=1e-5)
    assert_allclose(log_likelihood(fitted, "student_t"), single.llf, rtol=1e-10)
    found = errors(fitted, "student_t")
    assert_allclose(found[:3], single.bse[:3], rtol=1e-4)
    # Delta method: of the scale and of the degrees of freedom, from those of their logs.
    assert_allclose(0.5 * found[3] * single.params[-1], single.bse[-1], rtol=1e-4)
    if df is None:
        assert_allclose(fitted.df_[0], single.params[-2], rtol=1e-5)
        assert_allclose(found[4] * fitted.df_[0], single.bse[-2], rtol=1e-4)


@pytest.mark.parametrize("name", ["poisson", "gamma"])
@pytest.mark.filterwarnings("ignore:.* sample_weight")
def test_generalized_linear_models(name):
    """With exposure, and with weights that are numbers of rows."""
    y, offset = Y[name], np.log(EXPOSURE)
    family = {"poisson": sm.families.Poisson(), "gamma": sm.families.Gamma(sm.families.links.Log())}
    model = sm.GLM(y, DESIGN, family[name], offset=offset, freq_weights=WEIGHT)
    single = model.fit(tol=1e-14, maxiter=1000)
    options = {"sample_weight": WEIGHT, "offset": offset}
    fitted = mixture(name).fit(X, y, **options)
    assert_same_coefficients(fitted, single.params)
    assert_allclose(fitted.predict(X, offset=offset), single.fittedvalues, rtol=1e-6)
    # The dispersion of statsmodels is that of Pearson's statistic; ours has maximum likelihood.
    scale = 1.0 if name == "poisson" else float(fitted.dispersion_[0])
    llf = model.family.loglike(y, single.fittedvalues, freq_weights=WEIGHT, scale=scale)
    assert_allclose(log_likelihood(fitted, name, offset=offset, weight=WEIGHT), llf, rtol=1e-10)
    for other in (0.999 * scale, 1.001 * scale) if name == "gamma" else ():
        assert llf > model.family.loglike(y, single.fittedvalues, freq_weights=WEIGHT, scale=other)
    information = -model.hessian(single.params, scale=scale, observed=True)
    expected = np.sqrt(np.diag(np.linalg.inv(information)))
    assert_allclose(errors(fitted, name, **options)[:3], expected, rtol=1e-6)


@pytest.mark.parametrize("method", ["observed", "sandwich"])
def test_negative_binomial(method):
    y, offset = Y["negative_binomial"], np.log(EXPOSURE)
    fitted = mixture("negative_binomial").fit(X, y, offset=offset)
    single = maximum(
        lambda: sm.NegativeBinomial(y, DESIGN, exposure=EXPOSURE),
        method="newton",
        tol=1e-14,
        cov_type="nonrobust" if method == "observed" else "HC0",
    )
    assert_same_coefficients(fitted, single.params)
    assert_allclose(fitted.dispersion_[0], single.params[-1], rtol=1e-6)
    assert_allclose(log_likelihood(fitted, "negative_binomial", offset=offset), single.llf)
    found = errors(fitted, "negative_binomial", offset=offset, method=method)
    found[-1] *= fitted.dispersion_[0]
    assert_allclose(found, single.bse, rtol=1e-5)


def test_beta_with_a_precision_that_depends_on_features():
    mean, precision = expit(PREDICTOR), np.exp(2.5 + 0.7 * X[:, 1])
    rng = np.random.default_rng(1)
    y = rng.beta(mean * precision, (1.0 - mean) * precision)
    fit = maximum(lambda: BetaModel(y, DESIGN, exog_precision=DESIGN[:, [0, 2]]), method="newton")
    moe = mixture("beta", dispersion_features=[1]).fit(X, y)
    assert_allclose(moe.score_samples(X, y).sum(), fit.llf, rtol=1e-9)
    result = moe.inference(X, y)
    assert_allclose(result.estimates, np.append(fit.params[:3], -fit.params[3:]), rtol=1e-5)
    assert_allclose(result.standard_errors, fit.bse, rtol=1e-4)


def test_ordinal():
    fitted = mixture("ordinal").fit(X, Y["ordinal"])
    model = lambda: OrderedModel(Y["ordinal"], X, distr="logit")  # noqa: E731
    single = maximum(model, method="bfgs", gtol=1e-9)
    slopes, first, steps = np.split(single.params, [2, 3])
    assert_same_coefficients(fitted, [-first[0], *slopes])
    assert_allclose(fitted.threshold_steps_[0], np.exp(steps), rtol=1e-6)
    assert_allclose(log_likelihood(fitted, "ordinal"), single.llf, rtol=1e-10)
    order = [2, 0, 1, 3, 4]
    assert_allclose(errors(fitted, "ordinal"), single.bse[order], rtol=1e-4)


def test_zero_inflated_poisson():
    """A list of families, whose gate is the logistic regression of the zeros."""
    rng = np.random.default_rng(1)
    never = rng.uniform(size=N) < 1 / (1 + np.exp(0.5 - X[:, 0]))
    y = np.where(never, 0, rng.poisson(np.exp(1.0 + PREDICTOR)))
    fitted = mixture(["zero", "poisson"], 2, gate_alpha=0.0).fit(X, y)
    single = maximum(
        lambda: sm.ZeroInflatedPoisson(y, DESIGN, exog_infl=DESIGN), method="bfgs", gtol=1e-9
    )
    gate = np.append(np.diff(-fitted.gate_intercept_), np.diff(-fitted.gate_coef_, axis=0))
    assert_allclose(gate, single.params[:3], rtol=0, atol=1e-5)
    found = np.append(fitted.expert_intercept_[1], fitted.expert_coef_[1])
    assert_allclose(found, single.params[3:], rtol=0, atol=1e-6)
    assert_allclose(fitted.score_samples(X, y).sum(), single.llf, rtol=1e-10)


def clustered(model):
    groups = {"groups": np.arange(N) // 16}
    return model.fit(cov_type="cluster", cov_kwds=groups)


@pytest.mark.parametrize(
    ("family", "model"),
    [
        ("normal", sm.OLS(Y["normal"], DESIGN)),
        ("lognormal", sm.OLS(np.log(Y["lognormal"]), DESIGN)),
        ("gamma", sm.GLM(Y["gamma"], DESIGN, sm.families.Gamma(sm.families.links.Log()))),
        ("poisson", sm.GLM(Y["poisson"], DESIGN, sm.families.Poisson())),
    ],
)
def test_errors_of_clusters_have_the_correction_for_few_clusters(family, model):
    """That of a sample of clusters; statsmodels has a factor of the numbers of rows besides."""
    moe = mixture(family).fit(X, Y[family])
    found = errors(moe, family, method="sandwich", cluster=np.arange(N) // 16)[:3]
    single = clustered(model)
    expected = single.bse * np.sqrt((N - 3.0) / (N - 1.0))
    # With a log link that is not canonical, statsmodels has the expected information.
    assert_allclose(found, expected, rtol=1e-6 if family != "gamma" else 0.1)
