"""How the site is built. The README has the command."""

import re
import runpy
import sys
from pathlib import Path

from numpydoc.xref import DEFAULT_LINKS

import skmoe

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "_ext"))

project = "skmoe"
author = "The skmoe developers"
copyright = "The skmoe developers"
version = release = skmoe.__version__

extensions = [
    "conflicts",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "repository_files",
]
exclude_patterns = ["_build", "_ext", "_static", "_templates"]
templates_path = ["_templates"]

# The address of the repository is in setup.cfg, and nowhere else.
project_urls = runpy.run_path(str(HERE / "write_release.py"))["project_urls"]()
repository_url = project_urls.get("Source", "")

# Headings of Markdown pages are link targets.
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence", "dollarmath"]
html_math_renderer = "mathml"

# Code in single backticks of docstrings looks like code, and "auto" keeps the quotes of code.
default_role = "literal"
smartquotes = False

# What is copied is what one types: no prompts, and no output.
copybutton_prompt_text = r">>> |\.\.\. "
copybutton_prompt_is_regexp = True
copybutton_selector = (
    "div:not(.sphx-glr-script-out, .highlight-text, .highlight-none) > div.highlight > pre"
)

# Docstrings: classes list their own methods, not those that scikit-learn gives every estimator.
numpydoc_show_class_members = False
numpydoc_validation_checks = {"all", "GL01", "GL08", "ES01", "SA01", "SA04", "EX01"}
# Values that are returned have names here, and "Akaike's" is no verb.
numpydoc_validation_checks |= {"RT02", "RT04", "SS05"}
# One line is enough for protocol methods; users do not construct the last ones.
numpydoc_validation_exclude = {
    r"skmoe\.(families|gates|protocols)\.",
    r"Components$",
    r"Components\.",
    r"ComponentFunctions",
    r"\.inspection\.(Inference|Summary|ExpertSummary|Explanation|Maxima|UnitResponsibilities)$",
    r"\.inspection\.(NExpertsTest|NExpertsTable|NestedModelsTest|AverageEffects)$",
    r"\.inspection\.(DistalOutcome|TreatmentEffects)$|ConformalDistribution$",
    r"\.inspection\.Maxima\.(penalised_log_likelihoods|n_times|smallest_shares|runs|kept|is_spurious)$",
}
# Types of ours in docstrings are links; those of other projects are not, as the build asks no site.
DEFAULT_LINKS.clear()
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {
    "Inference": "skmoe.inspection.Inference",
    "Summary": "skmoe.inspection.Summary",
    "ExpertSummary": "skmoe.inspection.ExpertSummary",
    "Maxima": "skmoe.inspection.Maxima",
    "NExpertsTable": "skmoe.inspection.NExpertsTable",
    "NExpertsTest": "skmoe.inspection.NExpertsTest",
    "UnitResponsibilities": "skmoe.inspection.UnitResponsibilities",
    "NestedModelsTest": "skmoe.inspection.NestedModelsTest",
    "AverageEffects": "skmoe.inspection.AverageEffects",
    "PredictiveDistribution": "skmoe.distributions.PredictiveDistribution",
    "PoissonComponents": "skmoe.distributions.PoissonComponents",
    "NormalComponents": "skmoe.distributions.NormalComponents",
    "GammaComponents": "skmoe.distributions.GammaComponents",
    "RowBlocks": "skmoe.data.RowBlocks",
    "MixtureOfExpertsRegressor": "skmoe.MixtureOfExpertsRegressor",
    "MixtureOfExpertsClassifier": "skmoe.MixtureOfExpertsClassifier",
}
numpydoc_xref_ignore = "all"
autodoc_typehints = "none"
autosummary_generate = True
# "predict()", not "MixtureOfExpertsRegressor.predict()", in the table of contents of a page.
toc_object_entries_show_parents = "hide"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "plot_",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",
    "within_subsection_order": "FileNameSortKey",
    # Pages of the API list the examples that use their object, and code in examples leads to them.
    "backreferences_dir": "gallery/backreferences",
    "doc_module": ("skmoe",),
    "reference_url": {"skmoe": None},
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "write_computation_times": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "parallel": 2,
}

html_theme = "pydata_sphinx_theme"
html_title = "skmoe"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_favicon = "_static/logo.svg"
# A sidebar only where there is something to list in it: beside pages that have pages below them.
tops = [page.stem for page in HERE.glob("*.md") if "toctree" not in page.read_text("utf-8")]
html_sidebars = {"**": ["sidebar-nav-bs"], "index": []} | {page: [] for page in tops}
# The top bar has the pages of the first table of contents.
[first_contents, *_] = re.findall(
    r"^```{toctree}\n(.*?)^```", (HERE / "index.md").read_text("utf-8"), re.S | re.M
)
html_theme_options = {
    "logo": {"text": "skmoe", "image_light": "_static/logo.svg", "image_dark": "_static/logo.svg"},
    "icon_links": [
        {"name": name, "url": url, "icon": "fa-solid fa-code-branch"}
        for name, url in project_urls.items()
        if name == "Source"
    ],
    "header_links_before_dropdown": len(re.findall(r"^[^:\n].*$", first_contents, re.M)),
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "secondary_sidebar_items": {
        "**": ["page-toc"],
        "index": [],
        "gallery/index": [],
    },
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}


def write_example_report(app, exception):
    """The report that the user guide links to."""
    if exception is None:
        example = runpy.run_path(str(ROOT / "examples" / "iris_report.py"))
        example["main"](Path(app.outdir) / "iris_report.html")


def setup(app):
    """Write the example of a report after each build."""
    app.connect("build-finished", write_example_report)
