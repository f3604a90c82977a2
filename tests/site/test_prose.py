"""Pages and docstrings are written in short sentences and in the words of the field."""

import ast
import re
from itertools import chain
from pathlib import Path

import pytest

import skmoe
from support.pages import ROOT, pages_of_documentation

LONGEST = {".md": 30, ".py": 35}  # words of a sentence in pages and in docstrings

# Words that puzzle readers, each with what to write instead.
INSTEAD = {
    r"says?|said|tells?|told|speaks?|asks? for|asked for": "reports, shows, is; needs, requires",
    r"believes?|believed|knows? about|honest": "predicts, depends on, calibrated",
    r"holes?": "missing values",
    r"climb(?:s|ed|ing)?": "iterations of EM, optimise",
    r"dear(?:er|est)?": "expensive",
    r"stiff(?:er)?": "inflexible",
    r"flatter(?:s|ed|ing)?": "too confident, optimistic",
    r"starv(?:e|es|ed|ing)": "small experts, experts without rows",
    r"anew": "again",
    r"at the least|the one over": "the noun that is left out",
    r"(?:rows|data|targets|units) held out": "held-out rows",
    r"the free energy|the bound": "the lower bound",
    r"dead experts?": "collapsed experts",
    r"whatever the|by the rows": "for any; by held-out likelihood",
    r"make(?:s)? good|come(?:s)? to rest|do(?:es)? without": "a plain verb",
}
BANNED = {words: re.compile(rf"\b(?:{words})\b", re.I) for words in INSTEAD}


PAGES = pages_of_documentation()
MODULES = sorted(Path(skmoe.__file__).parent.rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))


def words(sentence):
    return re.findall(r"[\w'.,%-]*\w[\w'.,%-]*", sentence)


def prose_of_markdown(text):
    """Paragraphs, items and cells of a page: no code, no formulas, no targets of links."""
    text = re.sub(r"^(`{3,}).*?^\1\s*$", "\n\n", text, flags=re.S | re.M)
    text = re.sub(r"^\$\$.*?\$\$", "\n\n", text, flags=re.S | re.M)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    text = re.sub(r"`[^`]*`", "`", text)
    text = re.sub(r"^(?=[ \t]*(?:[-*>#]|\d+\.) )", "\n\n", text, flags=re.M)
    text = re.sub(r"(?m)^(#.*)$", r"\1\n\n", text)
    text = re.sub(r"(?m)^\|.*$", lambda row: "\n\n" + row[0].replace("|", "\n\n") + "\n\n", text)
    return text


def prose_of_docstring(text):
    """Paragraphs of a docstring: no examples, no headings, no names of parameters."""
    text = re.sub(r"(?m)^\s*(?:>>>|\.\.\.).*$(?:\n(?!\s*$).*)*", "", text)
    text = re.sub(r"(?m)^.*\n\s*-{3,}\s*$", "\n\n", text)
    text = re.sub(r"(?m)^([ \t]*)\S.*\n(?=\1[ \t]+\S)", lambda entry: entry[0] + "\n", text)
    text = re.sub(r"(?m)^\s*(?:[-*|]|\.\.) ?", "\n\n", text)
    return re.sub(r"``[^`]*``|`[^`]*`", "`", text)


def sentences(prose):
    for paragraph in re.split(r"\n\s*\n", prose):
        joined = " ".join(paragraph.split())
        yield from re.split(r"(?<=[.!?:;])[\"')\]]*\s+(?=[\"'(\[`*]*[A-Z0-9`])", joined)


def docstrings(module):
    tree = ast.parse(module.read_text("utf-8"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return [text for text in found if text]


def prose_of_file(path):
    if path.suffix == ".md":
        return prose_of_markdown(path.read_text("utf-8"))
    return "\n\n".join(map(prose_of_docstring, docstrings(path)))


def faults(prose, longest):
    """Sentences that are too long, and words that puzzle readers."""
    for sentence in sentences(prose):
        if len(words(sentence)) > longest:
            yield f"{len(words(sentence))} words: {sentence}"
        for pattern, compiled in BANNED.items():
            if found := compiled.search(sentence):
                yield f'"{found[0]}" (write: {INSTEAD[pattern]}): {sentence}'


@pytest.mark.parametrize("path", [*PAGES, *MODULES, *EXAMPLES], ids=lambda path: path.name)
def test_sentences_are_short_and_words_those_of_the_field(path):
    found = list(faults(prose_of_file(path), LONGEST[path.suffix]))
    assert not found, "\n".join(chain([f"{path.name}:"], found))


def test_words_and_long_sentences_are_found():
    long = " ".join(["Word"] * 36)
    parameters = f"Line.\n\nParameters\n----------\nx : int\n    {long}."
    assert list(faults("EM climbs.", 35))
    assert list(faults("Rows\nheld out have no weight.", 35))
    assert list(faults(f"Short. {long}.", 35))
    assert not list(faults(f"Short. {long.partition(' ')[2]}.", 35))
    assert list(faults(prose_of_docstring(parameters), 35))
    assert list(faults(prose_of_markdown(f"| name | {long} |\n"), 35))
    assert not list(faults(prose_of_markdown(f"```text\n{long}\n```\n"), 35))
    assert not list(faults(prose_of_docstring(f"Line.\n\n>>> x\n{long}\n"), 35))
