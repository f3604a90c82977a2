"""The page: template, style, scripts and data, put together and written as a whole."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import uuid
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from skmoe._optional import import_bokeh, import_jinja2

# Scripts of the panel, in their order.
SCRIPTS = ("model.js", "panel.js")


def check_path(path: Any) -> Path:
    """A path in a folder that exists and can be written."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(
            f"path must be the name of a file; got {type(path).__name__}. The call is "
            "export_html(estimator, X, y, path)."
        )
    file = Path(path)
    if file.is_dir():
        raise IsADirectoryError(f"path must be a file; got the folder {str(file)!r}.")
    if not file.parent.is_dir():
        raise FileNotFoundError(
            f"The folder of path must exist; got {str(file)!r}. Make {str(file.parent)!r} first."
        )
    if not os.access(file.parent, os.W_OK):
        raise PermissionError(
            f"The folder of path must be writable; got {str(file)!r}. Choose another folder."
        )
    return file


def render_page(context: Mapping[str, Any]) -> str:
    """The page, in which every text of the context is escaped."""
    environment = import_jinja2("export_html").Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    # Bokeh reads objects in the order in which they are written.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False, "allow_nan": False}
    scripts = [_library_script(), "\n".join(_read(name) for name in SCRIPTS)]
    return environment.from_string(_read("page.html")).render(
        **context,
        style=_read("page.css"),
        scripts=scripts,
        script_hashes=[_hash(script) for script in scripts],
    )


def _read(name: str) -> str:
    return (resources.files(__package__) / name).read_text("utf-8")


def _library_script() -> str:
    """The script of Bokeh, without the addresses from which it would load fonts and formulas."""
    bokeh = import_bokeh("export_html")
    given = bokeh.resources.Resources(
        mode="inline", components=["bokeh"], minified=True, log_level="error"
    )
    return re.sub(r"https://cdn\.[^\"'`)]*", "", "\n".join(given.js_raw))


def _hash(script: str) -> str:
    """What a content security policy allows a script by."""
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def write_page(path: Path, page: str) -> None:
    """Write the page, or nothing: a reader gets the previous file or the whole new one."""
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as file:
            file.write(page)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
