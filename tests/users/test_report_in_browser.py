"""The page of a report in a headless browser: what it computes, shows and does."""

import base64
import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmoe import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor
from skmoe.data import right_censored
from skmoe.families import StudentT
from skmoe.inspection import export_html
from skmoe.recipes import mixture_of
from support.browsers import start_browser
from support.expert_kinds import KINDS, draw, options_of
from support.fits import fit_quietly
from support.report_panels import fitted_kind, panel_of
from support.tables import steps, two_regimes

pytest.importorskip("jinja2", reason="the report needs jinja2")
webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser")
support = pytest.importorskip("selenium.webdriver.support.ui")

RTOL = ATOL = 1e-6

# What a reader can see of what is interpolated in tables.
VISIBLE = 5e-5
FIXED = {"alpha": 0.1, "gate_alpha": 1.0, "n_init": 1, "random_state": 0}

# Lists of families, and a family of the target.
LISTS = {
    "values": (["one", "zero", "uniform", "normal"], "normal"),
    "zero and dispersed counts": (["zero", "negative_binomial"], "negative_binomial"),
    "zero and two kinds of positive values": (["zero", "lognormal", "gamma"], "gamma"),
    "heavy tails and outliers": ([StudentT(df=4), "normal"], "student_t"),
}

COMPUTE = """
const [panel, rows, points, quantiles] = arguments;
const found = new Mixture(panel);
return rows.map((x) => {
  const { distribution, ...values } = found.at(x);
  if (!distribution) {
    return values;
  }
  const discrete = points.map((y) => distribution.at("pmf", y));
  const density = points.map((y, i) => discrete[i] || distribution.at("pdf", y));
  const cdf = points.map((y) => distribution.at("cdf", y));
  return { ...values, density, cdf, quantiles: quantiles.map((q) => distribution.quantile(q)) };
});
"""


@pytest.fixture(scope="session")
def browser():
    driver = start_browser("browser")
    yield driver
    driver.quit()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reports")


def open_page(browser, path, width=1400, scheme="light"):
    """Open a page and wait for its charts; no error may be logged."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": media})
    browser.get_log("browser")
    browser.get(path.as_uri())
    support.WebDriverWait(browser, 20).until(is_ready)
    assert errors(browser) == []


def is_ready(browser):
    if errors_now := errors(browser):
        raise AssertionError(errors_now)
    return browser.execute_script("return document.documentElement.dataset.ready === 'true'")


def errors(browser):
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def text(browser, selector):
    script = "return document.querySelector(arguments[0]).textContent"
    return browser.execute_script(script, selector)


def move(browser, feature, value):
    """Set a feature by its control, as a user does."""
    script = """
    const [id, value] = arguments;
    const control = document.getElementById(id);
    control.value = value;
    control.dispatchEvent(new Event("input", { bubbles: true }));
    control.dispatchEvent(new Event("change", { bubbles: true }));
    """
    browser.execute_script(script, feature, str(value))


# --- what the page computes -------------------------------------------------------------------


@pytest.fixture(scope="session")
def any_page(browser, folder):
    """A page, whose scripts compute any panel."""
    X, y = two_regimes(120)
    moe = fit_quietly(MixtureOfExpertsRegressor(2, **FIXED), X, y)
    path = folder / "any.html"
    export_html(moe, X, y, path)
    return path


def compute(browser, page, panel, rows, points=(), quantiles=()):
    if browser.current_url != page.as_uri():
        open_page(browser, page)
    script_arguments = json.loads(json.dumps([panel, rows.tolist(), [*points], [*quantiles]]))
    return browser.execute_script(COMPUTE, *script_arguments)


def assert_computes_as(browser, page, moe, X, y):
    """Gate, experts, prediction, densities and quantiles are those of the mixture."""
    panel = panel_of(moe, X, y)
    assert panel["formulas"] is not None
    rows = np.vstack([X[:4], 1.5 * X[4:6]])
    quantiles = [0.01, 0.37, 0.5, 0.93, 0.999]
    points = [] if panel["classes"] else sorted({*np.unique(y)[12::25], 0.0, 1.0, 3.5})
    found = compute(browser, page, panel, rows, map(float, points), quantiles)

    def check(name, wanted, rtol=RTOL, atol=ATOL):
        values = np.array([row[name] for row in found], dtype=float)
        assert_allclose(values, wanted, rtol, atol, err_msg=name)

    check("gate", moe.predict_gate(rows))
    if panel["classes"]:
        check("experts", moe.predict_experts(rows))
        check("mean", moe.predict_proba(rows))
        return
    distribution = moe.predict_dist(rows)
    at_points = np.array(points)[None]
    interpolated = {
        "experts": moe.predict_experts(rows),
        "mean": moe.predict(rows),
        "interval": moe.predict_interval(rows, 0.9),
        "cdf": distribution.cdf(at_points),
        "quantiles": distribution.ppf(quantiles),
    }
    for name, wanted in interpolated.items():
        check(name, wanted, VISIBLE, VISIBLE)
    density = distribution.pdf(at_points)
    # Those with a density at zero are cut there in the picture.
    if getattr(moe, "family", None) in ("exponential", "gompertz"):
        density = np.where(np.array(points) == 0.0, 0.0, density)
    check("density", density, 10.0 * VISIBLE, VISIBLE)


@pytest.mark.parametrize(("name", "task"), KINDS)
def test_every_kind_of_experts_is_computed(browser, any_page, name, task):
    if name in ("beta", "tweedie"):  # which have no formulas: the page shows slices
        return
    assert_computes_as(browser, any_page, *fitted_kind(name, task, 120, max_iter=20))


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_families_are_computed(browser, any_page, name):
    families, of_target = LISTS[name]
    rng = np.random.default_rng(1)
    X = rng.normal(size=(120, 2))
    y = draw(of_target, 0.5 + 0.8 * X[:, 1], rng)
    if "zero" in families:
        y[X[:, 0] > 0.5] = 0.0
    options = {"family": families, "max_iter": 20} | FIXED
    moe = MixtureOfExpertsRegressor(len(families), **options)
    assert_computes_as(browser, any_page, fit_quietly(moe, X, y), X, y)


# Targets from families, linear predictors and dispersions, and the unit of the target.
EXTREMES = {
    "normal values far from zero": ("normal", 1e6, (1e-6,), 1.0),
    "tiny normal values": ("normal", 0.0, (1.0,), 1e-9),
    "heavy tails": (StudentT(df=1.0), 0.0, (1.0, 1.0), 1.0),
    "many orders of magnitude": ("lognormal", 0.0, (9.0,), 1e3),
    "nearly certain values": ("gamma", 3.0, (1e-6,), 1.0),
    "densities without bound": ("gamma", 0.0, (5.0,), 1.0),
    "skewed values": ("inverse_gaussian", 1.0, (5.0,), 1.0),
    "huge counts": ("poisson", 13.0, (), 1.0),
    "rare counts": ("poisson", -3.0, (), 1.0),
    "very dispersed counts": ("negative_binomial", 3.0, (8.0,), 1.0),
    "hardly dispersed counts": ("negative_binomial", 7.0, (1e-4,), 1.0),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extreme_distributions_are_computed(browser, any_page, name):
    family, level, dispersion, unit = EXTREMES[name]
    rng = np.random.default_rng(5)
    X = rng.normal(size=(200, 1))
    named = family if isinstance(family, str) else family.name
    y = unit * draw(named, level + 0.3 * X[:, 0], rng, dispersion)
    moe = MixtureOfExpertsRegressor(1, family=family, random_state=0, alpha=1e-3)
    fit_quietly(moe, X, y)
    panel, rows = panel_of(moe, X, y, coverage=0.99), np.linspace(-2.5, 2.5, 5)[:, None]
    assert panel["formulas"] is not None
    quantiles = [0.005, 0.3, 0.5, 0.9, 0.995]
    found = compute(browser, any_page, panel, rows, (), quantiles)
    distribution = moe.predict_dist(rows)
    ends = np.array([row["interval"] for row in found])
    assert_allclose(ends, np.array([row["quantiles"] for row in found])[:, [0, -1]], 1e-9)
    # Probabilities up to the quantiles of the page; those of counts are the quantiles.
    at = np.array([row["quantiles"] for row in found])
    if named in ("poisson", "negative_binomial"):
        assert_array_equal(at, distribution.ppf(quantiles))
    else:
        assert_allclose(distribution.cdf(at), np.tile(quantiles, (5, 1)), atol=VISIBLE)


# Families of censored times, each with a family of the values.
OF_TIMES = {
    "weibull": ("weibull", "weibull"),
    "never": (["never", "weibull"], "weibull"),
    "several kinds of events": (["weibull", "never", "gamma"], "gamma"),
}


def censored_times(name, n_rows=150):
    """A mixture that is fitted to times of which some are right-censored, and its table."""
    family, of_values = OF_TIMES[name]
    rng = np.random.default_rng(2)
    X = rng.normal(size=(n_rows, 2))
    time = draw(of_values, 0.3 + 0.6 * X[:, 1], rng)
    event, last = rng.integers(0, 2, size=n_rows), np.floor(0.8 * time)
    if isinstance(family, list):
        event, last = event * (X[:, 0] < 0.3), np.where(X[:, 0] < 0.3, last, time.max())
    y = right_censored(np.where(event, time, last), event)
    n_experts = len(family) if isinstance(family, list) else 2
    options = {"max_iter": 20} | FIXED
    options |= options_of(family) if isinstance(family, str) else {"family": family}
    return fit_quietly(MixtureOfExpertsRegressor(n_experts, **options), X, y), X, y


@pytest.mark.parametrize("name", OF_TIMES)
def test_probabilities_of_no_event_are_computed(browser, any_page, name):
    moe, X, y = censored_times(name)
    panel = panel_of(moe, X, y, horizon=2.5)
    assert panel["formulas"] is not None
    rows, times = np.vstack([X[:4], 1.5 * X[4:6]]), np.linspace(*panel["shown_range"], 7)[1:]
    found = compute(browser, any_page, panel, rows, times, [0.2])
    distribution, n_experts = moe.predict_dist(rows), moe.n_experts_
    gates = np.repeat(np.eye(n_experts)[:, None], len(rows), axis=1)
    wanted = {
        "gate": moe.predict_gate(rows),
        "experts": np.transpose([moe.predict_dist(rows, gate_proba=g).sf(2.5) for g in gates]),
        "mean": distribution.sf(2.5),
        "cdf": distribution.cdf(times[None]),
        "median": distribution.median,
        "interval": distribution.interval(0.9),
        "quantiles": distribution.ppf([0.2]),
    }
    for key, values in wanted.items():
        shown = np.array([row[key] for row in found], dtype=float)
        shown = np.where(np.isnan(shown), np.inf, shown)  # which JSON does not have
        assert_allclose(shown, values, VISIBLE, VISIBLE, err_msg=key)
    assert np.isinf(wanted["interval"]).any() == isinstance(OF_TIMES[name][0], list)


# --- what the page shows ----------------------------------------------------------------------


def test_controls_move_the_numbers(browser, any_page):
    X, y = two_regimes(120)
    moe = fit_quietly(MixtureOfExpertsRegressor(2, **FIXED), X, y)
    open_page(browser, any_page)
    row = np.median(X, axis=0)

    def shown():
        cells = browser.execute_script(
            "return [...document.querySelectorAll('#prediction td')].map((c) => c.textContent)"
        )
        return [float(cell.replace("\N{MINUS SIGN}", "-")) for cell in cells]

    at_start = moe.predict(row[None])[0]
    assert_allclose(shown(), [at_start, at_start, 0.0], atol=2e-3)
    move(browser, "exact-1", 1.25)
    row[1] = 1.25
    moved = moe.predict(row[None])[0]
    assert abs(moved - at_start) > 0.1
    assert_allclose(shown(), [moved, at_start, moved - at_start], atol=2e-3)
    gate = moe.predict_gate(row[None])[0]
    assert text(browser, "#expert-0 td") == f"{100 * gate[0]:.1f} %"
    bar = "return document.querySelector('#expert-0 td').style.getPropertyValue('--share')"
    assert float(browser.execute_script(bar).rstrip("%")) == pytest.approx(100 * gate[0])
    prediction = text(browser, "#prediction td")
    support.WebDriverWait(browser, 5).until(lambda b: f": {prediction}," in text(b, "#status"))
    browser.find_element("id", "reset").click()
    assert_allclose(shown(), [at_start, at_start, 0.0], atol=2e-3)
    assert errors(browser) == []


def test_integers_move_by_one_and_values_outside_of_the_fit_are_marked(browser, folder):
    """The mean of an expert that grows like a power may leave its interval, which is explained."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"stays": rng.poisson(2.0, size=300), "age": rng.normal(size=300)})
    y = np.exp(0.2 * X["stays"] + 2.0 * rng.normal(size=300))
    moe = MixtureOfExpertsRegressor(1, family="lognormal", **FIXED)
    fit_quietly(moe, X, y)
    path = folder / "integers.html"
    export_html(moe, X, y, path, coverage=0.5)
    open_page(browser, path)
    slider = browser.find_element("id", "feature-0")
    before = int(browser.find_element("id", "exact-0").get_property("value"))
    slider.send_keys(webdriver.Keys.ARROW_RIGHT * 2)
    assert int(browser.find_element("id", "exact-0").get_property("value")) == before + 2
    most, hidden = int(X["stays"].max()), "return document.getElementById(arguments[0]).hidden"
    for value in (most, most + 1, 0, -1):
        move(browser, "exact-0", value)
        row = pd.DataFrame({"stays": [value], "age": [browser.execute_script("return state[1]")]})
        is_outside = not 0 <= value <= most
        assert browser.execute_script(hidden, "outside-0") == (not is_outside)
        assert browser.execute_script(hidden, "outside-1")
        mean, (low, high) = moe.predict(row)[0], moe.predict_interval(row, 0.5)[0]
        assert browser.execute_script(hidden, "mean-note") == bool(low <= mean <= high)
    support.WebDriverWait(browser, 5).until(
        lambda b: "Outside of the rows of this report: stays." in text(b, "#status")
    )
    assert "group" not in text(browser, "#panel")
    assert errors(browser) == []


def test_a_column_of_categories_is_one_menu(browser, folder):
    """The page computes what a pipeline predicts for its input."""
    rng = np.random.default_rng(0)
    names = [f"region {i:02d}" for i in range(30)]
    X = pd.DataFrame({"size": rng.normal(size=400), "region": rng.choice(names, size=400)})
    y = np.where(X["size"] > 0, X["size"], 3.0) + X["region"].map(names.index)
    encoder = make_column_transformer((OneHotEncoder(), ["region"]), remainder=StandardScaler())
    moe = MixtureOfExpertsRegressor(2, **FIXED)
    pipeline = fit_quietly(make_pipeline(encoder, moe), X, y)
    path = folder / "regions.html"
    export_html(pipeline, X, y, path)
    open_page(browser, path)
    assert len(browser.find_elements("css selector", ".control select")) == 2  # and of the chart
    for i in (3, 29):
        move(browser, "feature-1", i)
        size = browser.execute_script("return state[0]")
        row = pd.DataFrame({"size": [size], "region": [names[i]]})
        found = browser.execute_script("return evaluate(state)")
        assert_allclose(found["mean"], pipeline.predict(row)[0], VISIBLE)
        assert_allclose(found["gate"], mixture_of(pipeline).predict_gate(row)[0], RTOL, ATOL)
    assert errors(browser) == []


def test_the_time_of_the_panel_moves_its_probabilities(browser, folder):
    moe, X, y = censored_times("never")
    path = folder / "times.html"
    export_html(moe, X, y, path)
    open_page(browser, path)
    row = np.median(X, axis=0)[None]

    def shown(selector):
        cells = browser.find_elements("css selector", f"{selector} td")
        return [float(cell.text.rstrip(" %")) / 100.0 for cell in cells[:2]]

    start = browser.execute_script("return panel.horizon")
    assert_allclose(shown("#prediction"), np.full(2, moe.predict_dist(row).sf(start)), atol=6e-4)
    move(browser, "horizon", 1.5)
    move(browser, "exact-1", 0.8)
    moved = row * [1, 0] + [0, 0.8]
    wanted = [moe.predict_dist(at).sf(1.5)[0] for at in (moved, row)]
    assert_allclose(shown("#prediction"), wanted, atol=6e-4)
    assert text(browser, ".horizon") == "1.500"
    curve = browser.execute_script("return now.curve")
    assert_allclose(curve["parts"][0], 1.0)
    expected = moe.predict_dist(moved).sf(np.array(curve["y"])[None])[0]
    assert_allclose(curve["total"], expected, VISIBLE, VISIBLE)
    assert errors(browser) == []


@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_a_page_with_slices_moves_one_feature_at_a_time(browser, folder, kind):
    X, y = steps(120)
    options = {"expert": "tree", "cross_fit": 2} | FIXED
    if kind == "classifier":
        moe = fit_quietly(MixtureOfExpertsClassifier(2, **options), X, y > np.median(y))
    else:
        moe = fit_quietly(MixtureOfExpertsRegressor(2, **options), X, np.round(np.abs(y)))
    path = folder / "slices.html"
    export_html(moe, X, y > np.median(y) if kind == "classifier" else np.round(np.abs(y)), path)
    open_page(browser, path)
    assert "along one feature at a time" in text(browser, "#panel")
    start = browser.execute_script("return [...state]")
    move(browser, "feature-0", 5)
    move(browser, "feature-2", 30)
    state = browser.execute_script("return [...state]")
    assert state[:2] == start[:2]
    assert state[2] != start[2]
    assert text(browser, "#value-0") != text(browser, "#value-2")
    row, found = np.array([state]), browser.execute_script("return evaluate(state)")
    wanted = {"gate": moe.predict_gate(row), "experts": moe.predict_experts(row)}
    if kind == "classifier":
        wanted["mean"] = moe.predict_proba(row)
    else:
        wanted |= {"mean": moe.predict(row), "interval": moe.predict_interval(row)}
    for key, values in wanted.items():
        assert_allclose(found[key], values[0], RTOL, ATOL, err_msg=key)
    assert errors(browser) == []


EVIL = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    '" onmouseover="alert(3)',
    "$$\\frac{1}{2}$$ {{ 7 * 7 }} $x_2$",
    "'; alert(4) //\u2028<!--",
    r"\[x\] or \(x\)",
]


def test_names_of_users_stay_text(browser, folder):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(120, len(EVIL))), columns=EVIL)
    classes = np.array(EVIL[:2])
    y = pd.Series(classes[(X.iloc[:, 0] + rng.normal(size=120) > 0).astype(int)], name=EVIL[2])
    moe = fit_quietly(MixtureOfExpertsClassifier(2, **FIXED), X, y)
    path = folder / "names.html"
    data = {"X_held_out": X, "y_held_out": y}
    export_html(moe.set_expert_names(EVIL[:2]), X, y, path, title=EVIL[0], **data)
    open_page(browser, path)
    assert browser.title == EVIL[0]
    labels = browser.execute_script(
        "return [...document.querySelectorAll('.controls label')].map((l) => l.textContent)"
    )
    assert labels == [" ".join(name.split()) for name in EVIL]
    assert text(browser, "#class-0 th") == sorted(EVIL[:2])[0]
    assert text(browser, "#expert-1 th") == EVIL[1]
    for selector in ("img[src=x]", "[onmouseover]", "[onerror]"):
        assert browser.find_elements("css selector", selector) == []
    for j in range(len(EVIL)):
        move(browser, "along", j)
    assert browser.execute_script("return document.scripts.length") == 2
    assert errors(browser) == []
    # The wall behind the escaping: scripts that are not those of the page do not run.
    browser.execute_script(
        "const s = document.createElement('script'); s.textContent = 'window.evil = true';"
        "document.body.append(s)"
    )
    assert browser.execute_script("return window.evil") is None
    browser.get_log("browser")


# --- layout and accessibility -----------------------------------------------------------------

CHART_COLOURS = """
const of = (selector, name) =>
  [...document.querySelectorAll(selector)].map((node) => getComputedStyle(node)[name]);
return {
  ink: getComputedStyle(document.body).color,
  inks: of(".chart .ink", "stroke"),
  texts: of(".chart text", "fill"),
};
"""


@pytest.mark.parametrize(("width", "scheme"), [(1400, "light"), (400, "dark")])
def test_nothing_overflows_and_charts_have_the_colours_of_the_page(
    browser, any_page, width, scheme
):
    """Three lines, marks and the interval of the density; a line and a mark along a feature."""
    open_page(browser, any_page, width, scheme)
    page, window = browser.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert page <= window == width
    colours = browser.execute_script(
        "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
    )
    ink, paper = (np.mean([int(v) for v in c[4:-1].split(",")]) for c in colours)
    assert (ink < 60 < 200 < paper) if scheme == "light" else (paper < 60 < 200 < ink)
    found = browser.execute_script(CHART_COLOURS)
    assert found["inks"] == [found["ink"]] * 6
    assert set(found["texts"]) == {found["ink"]}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert set(browser.execute_script(CHART_COLOURS)["inks"]) == {"rgb(0, 0, 0)"}
    charts = browser.find_elements("css selector", ".chart svg")
    assert [0 < chart.size["width"] <= width for chart in charts] == [True, True]
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"printBackground": False})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    assert errors(browser) == []


def test_every_control_and_picture_has_a_name(browser, any_page):
    open_page(browser, any_page)
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    named = {"slider", "spinbutton", "combobox", "button", "image", "region", "link", "table"}
    found = set()
    for node in nodes:
        role = node["role"].get("value")
        if role in named and not node["ignored"]:
            found.add(role)
            assert node.get("name", {}).get("value"), node
    assert {"slider", "spinbutton", "combobox", "button", "image"} <= found
    status = browser.find_element("id", "status")
    assert status.get_attribute("aria-live") == "polite"
    headings = browser.execute_script(
        "return [...document.querySelectorAll('h1,h2,h3,h4')].map((h) => Number(h.tagName[1]))"
    )
    assert headings[0] == 1
    assert max(np.diff(headings)) <= 1
