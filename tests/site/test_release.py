"""What a release repeats: version, date and address; and what may be said before it."""

import re
import shutil
import subprocess
import sys

import pytest

from support.pages import ROOT, pages_of_documentation
from support.sources import PACKAGE

FILES = ["README.md", "CITATION.cff", "setup.cfg", "docs/write_release.py", "docs/changelog.md"]
FILES += ["skmoe/__init__.py"]
ADDRESS = "https://example.org/team/skmoe"
VERSION = re.search(r'^__version__ = "(.*)"$', (PACKAGE / "__init__.py").read_text("utf-8"), re.M)
TAG = f"v{VERSION[1]}"
TARGETS = re.compile(r"(!?)\[[^\]]*\]\(([^)\s]+)\)")


@pytest.fixture
def copy(tmp_path):
    """What the script reads and writes, in a folder of its own, in which no address is set."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy((PACKAGE.parent if name.startswith("skmoe/") else ROOT) / name, tmp_path / name)
    set_address(tmp_path, "")
    return tmp_path


def set_address(copy, line):
    path = copy / "setup.cfg"
    text = re.sub(
        r"^(project_urls =).*\n(    .*\n)*", r"\1\n" + line, path.read_text("utf-8"), flags=re.M
    )
    path.write_text(text, "utf-8")


def written(copy, *arguments):
    """The result of the script, and the files after it."""
    command = [sys.executable, copy / "docs" / "write_release.py", *arguments]
    result = subprocess.run(command, capture_output=True, encoding="utf-8")
    return (
        result,
        (copy / "README.md").read_text("utf-8"),
        (copy / "CITATION.cff").read_text("utf-8"),
    )


def test_the_citation_is_what_the_script_writes(copy):
    shutil.copy(ROOT / "setup.cfg", copy)
    before = (copy / "CITATION.cff").read_text("utf-8")
    result, _, citation = written(copy)
    assert result.returncode == 0, result.stderr
    assert citation == before
    assert f"\nversion: {VERSION[1]}\n" in citation
    assert "\nversion = attr: skmoe.__version__\n" in (copy / "setup.cfg").read_text("utf-8")


def test_links_of_the_package_page_and_the_citation_have_the_address(copy):
    set_address(copy, f"    Source = {ADDRESS}\n")
    before = (copy / "README.md").read_text("utf-8")
    written(copy)
    result, readme, citation = written(copy, "--package-page", TAG)
    assert result.returncode == 0, result.stderr
    assert f"\nrepository-code: {ADDRESS}\n" in citation
    found = TARGETS.findall(readme)
    assert found
    for picture, target in found:
        start = f"{ADDRESS}/{'raw' if picture else 'blob'}/{TAG}/"
        assert target.startswith(start)
        assert (ROOT / target.removeprefix(start).partition("#")[0]).exists()
    assert re.sub(f"{ADDRESS}/(raw|blob)/{TAG}/", "", readme) == before
    assert written(copy)[2] == citation  # once, not twice


@pytest.mark.parametrize(
    ("tag", "words"), [(TAG, "setup.cfg has no address"), ("v9.9.9", f"the tag must be {TAG}")]
)
def test_a_package_page_needs_an_address_and_the_tag_of_the_version(copy, tag, words):
    before = (copy / "README.md").read_text("utf-8")
    result, readme, _ = written(copy, "--package-page", tag)
    assert result.returncode == 1
    assert words in result.stderr
    assert readme == before


def texts_of_users():
    """Pages, docstrings, messages, examples, and what the host of the repository shows."""
    sources = [
        PACKAGE.rglob("*.py"),
        *((ROOT / name).rglob("*.*") for name in ("examples", ".github")),
    ]
    return [*pages_of_documentation(), *(path for paths in sources for path in paths)]


def test_nothing_says_that_the_package_can_be_installed_by_its_name():
    """It is installed from a copy of the repository, until an index has it."""
    by_name = re.compile(r"pip\s+install\s[^`\n]*\bskmoe\b|\bskmoe\[\w")
    texts = {path: path.read_text("utf-8") for path in texts_of_users() if path.suffix != ".pyc"}
    assert len(texts) > 150
    found = {str(path): by_name.findall(text) for path, text in texts.items()}
    assert {path: promises for path, promises in found.items() if promises} == {}


def test_workflows_run_the_versions_and_systems_of_the_metadata():
    setup = (ROOT / "setup.cfg").read_text("utf-8")
    tests = (ROOT / ".github" / "workflows" / "tests.yml").read_text("utf-8")
    versions = re.findall(r"Python :: (3\.\d+)$", setup, re.M)
    assert re.search(r"python: \[(.*)\]", tests)[1] == ", ".join(f'"{v}"' for v in versions)
    for path in (ROOT / ".github" / "workflows").iterdir():
        for action in re.findall(r"uses: (\S+)", path.read_text("utf-8")):
            assert action.startswith("./") or re.fullmatch(r"[\w./-]+@(release/)?v\d+", action)
