"""Optional packages, imported on first use."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def import_pandas(caller: str) -> Any:
    """pandas, for results as data frames; `caller` is named in the error if it is missing."""
    return _import("pandas", caller, "frames")


def import_pyplot(caller: str) -> Any:
    """Matplotlib's pyplot, for displays."""
    return _import("matplotlib.pyplot", caller, "plot")


def import_parquet(caller: str) -> Any:
    """The reader of Parquet files of pyarrow."""
    return _import("pyarrow.parquet", caller, "parquet")


def import_dask(caller: str) -> Any:
    """Dask, for collections on a cluster."""
    return _import("dask", caller, "dask")


def import_skl2onnx(caller: str) -> Any:
    """skl2onnx, for the export to ONNX."""
    return _import("skl2onnx", caller, "onnx")


def import_bokeh(caller: str) -> Any:
    """Bokeh with the modules of charts and their embedding, for the report."""
    for module in ("embed", "models", "plotting", "resources"):
        _import(f"bokeh.{module}", caller, "report")
    return _import("bokeh", caller, "report")


def import_report_pyplot(caller: str) -> Any:
    """Matplotlib's pyplot, for the pictures of the report."""
    return _import("matplotlib.pyplot", caller, "report")


def import_jinja2(caller: str) -> Any:
    """Jinja2, for the page of the report."""
    return _import("jinja2", caller, "report")


def _import(package: str, caller: str, extra: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        missing = (error.name or package).split(".")[0]  # it may be one that the package needs
        raise ImportError(
            f"{caller} needs {missing}, which is not installed. Install it: "
            f'pip install "skmoe[{extra}]", or in a copy of the repository pip install ".[{extra}]"'
        ) from error
