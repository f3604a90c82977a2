"""How the site is built. The README has the command."""

import runpy
from pathlib import Path

from numpydoc.xref import DEFAULT_LINKS

import skmoe

project = "skmoe"
author = "The skmoe developers"
copyright = "The skmoe developers"
version = release = skmoe.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build"]
templates_path = ["_templates"]

# Headings of Markdown pages are link targets.
myst_heading_anchors = 3

# Docstrings: classes list their own methods, not those that scikit-learn gives every estimator.
numpydoc_show_class_members = False
numpydoc_validation_checks = {"all", "GL01", "GL08", "ES01", "SA01", "SA04", "EX01"}
# Values that are returned have names here, and "Akaike's" is no verb.
numpydoc_validation_checks |= {"RT02", "RT04", "SS05"}
# One line is enough for protocol methods and densities; users do not construct the last ones.
numpydoc_validation_exclude = {
    r"skmoe\.(experts|families|gates|protocols)\.",
    r"MixtureDistribution\.(pdf|logpdf|pmf|logpmf|cdf|cdf_left|sf|logcdf|logsf)$",
    r"Components$",
    r"Components\.",
    r"\.reports\.(Inference|Summary|ExpertSummary|Explanation|NExpertsTest|UnitResponsibilities)$",
}
# Types of ours in docstrings are links; those of other projects are not, as the build asks no site.
DEFAULT_LINKS.clear()
numpydoc_xref_param_type = True
numpydoc_xref_aliases = {
    "Inference": "skmoe.reports.Inference",
    "Summary": "skmoe.reports.Summary",
    "ExpertSummary": "skmoe.reports.ExpertSummary",
    "NExpertsTest": "skmoe.reports.NExpertsTest",
    "UnitResponsibilities": "skmoe.reports.UnitResponsibilities",
    "MixtureDistribution": "skmoe.distributions.MixtureDistribution",
    "CountMixtureDistribution": "skmoe.distributions.CountMixtureDistribution",
    "PoissonComponents": "skmoe.distributions.PoissonComponents",
    "NormalComponents": "skmoe.distributions.NormalComponents",
    "GammaComponents": "skmoe.distributions.GammaComponents",
    "LogNormalComponents": "skmoe.distributions.LogNormalComponents",
    "NegativeBinomialComponents": "skmoe.distributions.NegativeBinomialComponents",
    "OrdinalComponents": "skmoe.distributions.OrdinalComponents",
    "PointMassComponents": "skmoe.distributions.PointMassComponents",
    "StudentTComponents": "skmoe.distributions.StudentTComponents",
    "UniformComponents": "skmoe.distributions.UniformComponents",
    "GeneralMixtureDistribution": "skmoe.distributions.GeneralMixtureDistribution",
    "RowBlocks": "skmoe.blocks.RowBlocks",
    "MixtureOfExpertsRegressor": "skmoe.MixtureOfExpertsRegressor",
    "MixtureOfExpertsClassifier": "skmoe.MixtureOfExpertsClassifier",
}
numpydoc_xref_ignore = "all"
autodoc_typehints = "none"
autosummary_generate = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": "plot_",
    "ignore_pattern": r"(^|/)(?!plot_)[^/]*\.py$",
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("matplotlib",),
    "matplotlib_animations": False,
    "write_computation_times": False,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "abort_on_example_error": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "skmoe"
html_show_sourcelink = False
# A sidebar only where there is something to list in it: beside the API and the gallery.
pages = [page.stem for page in Path(__file__).parent.glob("*.md")]
html_sidebars = {page: [] for page in pages if page != "api"}
html_theme_options = {
    "header_links_before_dropdown": 5,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
}


def write_example_report(app, exception):
    """The report that the user guide links to."""
    if exception is None:
        example = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "iris_report.py"))
        example["main"](Path(app.outdir) / "iris_report.html")


def setup(app):
    """Write the example of a report after each build."""
    app.connect("build-finished", write_example_report)
