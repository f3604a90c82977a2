"""Write what repeats the version, its date and the address of the repository.

The version is in `skmoe/__init__.py`, its date in the changelog, and the address ("Source") in
setup.cfg: each once, by hand.

    python docs/write_release.py

writes them into CITATION.cff.

    python docs/write_release.py --package-page TAG

rewrites the relative links and pictures of README.md, which lead nowhere on the page of a package,
to those of a tag. The release workflow does it before the build; the result is not committed.
"""

import argparse
import re
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RELATIVE_LINK = re.compile(
    r"(?P<is_picture>!?)\[(?P<text>[^\]]*)\]\((?!\w+:|#)(?P<target>[^)\s]+)\)"
)


def project_urls(root=ROOT):
    """Addresses by name; none, while the repository has no public address."""
    metadata = ConfigParser()
    metadata.read(root / "setup.cfg", "utf-8")
    return dict(re.findall(r"^(.+?) = (\S+)$", metadata["metadata"]["project_urls"], re.M))


def version_and_date(root=ROOT):
    """The version, and the date of its heading in the changelog."""
    package = (root / "skmoe" / "__init__.py").read_text("utf-8")
    [version] = re.findall(r'^__version__ = "(.*)"$', package, re.M)
    changelog = (root / "docs" / "changelog.md").read_text("utf-8")
    heading = re.search(rf"^## {re.escape(version)} \((\d{{4}}-\d\d-\d\d)\)$", changelog, re.M)
    if not heading:
        sys.exit(f'docs/changelog.md has no dated heading. Write "## {version} (YYYY-MM-DD)".')
    return version, heading[1]


def cited(text, version, date, address):
    """The citation file of a version."""
    text = re.sub(r"^repository-code: .*\n", "", text, flags=re.M)
    text = re.sub(r"^version: .*$", f"version: {version}", text, flags=re.M)
    line = f"date-released: {date}\n" + f"repository-code: {address}\n" * bool(address)
    return re.sub(r"^date-released: .*\n", line, text, flags=re.M)


def with_absolute_links(text, address, tag):
    """A Markdown text whose links to files, and pictures, are those of a tag of the repository."""

    def absolute(link):
        view = "raw" if link["is_picture"] else "blob"
        target = f"{address}/{view}/{tag}/{link['target']}"
        return f"{link['is_picture']}[{link['text']}]({target})"

    *blocks, last = re.split(r"(^```.*?^```$)", text, flags=re.M | re.S)
    parts = zip(blocks[::2], blocks[1::2], strict=True)
    linked = [RELATIVE_LINK.sub(absolute, prose) + code for prose, code in parts]
    return "".join(linked) + RELATIVE_LINK.sub(absolute, last)


def main():
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--package-page", metavar="TAG")
    tag, (version, date) = parser.parse_args().package_page, version_and_date()
    address = project_urls().get("Source", "").rstrip("/")
    if tag is None:
        citation = ROOT / "CITATION.cff"
        text = cited(citation.read_text("utf-8"), version, date, address)
        citation.write_text(text, "utf-8", newline="\n")
        return
    if tag != f"v{version}":
        sys.exit(f"The tag is {tag}, and the version {version}: the tag must be v{version}.")
    if not address:
        sys.exit('setup.cfg has no address. Write "Source = https://..." below project_urls.')
    readme = ROOT / "README.md"
    text = with_absolute_links(readme.read_text("utf-8"), address, tag)
    readme.write_text(text, "utf-8", newline="\n")


if __name__ == "__main__":
    main()
