"""The built site: its links, what it loads, and what a browser shows of it.

SITE=docs/_build/html pytest --site tests/site/test_site.py

Without SITE the tests look for a site at that place, and skip if there is none, or if it is older
than its sources. `python tests/site/test_site.py DIR` lists the links of a site to other hosts.
"""

import importlib
import json
import os
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from support.browsers import start_browser

ROOT = Path(__file__).parents[2]
SITE = Path(os.environ.get("SITE", ROOT / "docs" / "_build" / "html")).resolve()
MADE_BY_BUILDS = {"_build", "api", "gallery"}
COLUMNS = 88  # of the widest tables that a summary prints
WIDE, NARROW = 1400, 400
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"}
LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "link": "href"}
LOADED_BY_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?([^"')\s;]+)""")
SCRIPT = re.compile(r"(?:python )?((?:tests|examples)/[\w/]+\.py)\b")


# --- what the files of a site have ------------------------------------------------------------


class Page(HTMLParser):
    """Targets, links, loaded files, pictures and code of a page."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.loaded, self.pictures, self.code = set(), [], [], [], []
        self.open = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.ids |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        is_link_of_head = tag == "link" and values.get("rel") in {"index", "search", "next", "prev"}
        if tag in LOADED and values.get(LOADED[tag]) and not is_link_of_head:
            self.loaded.append(values[LOADED[tag]])
        if tag == "img":
            self.pictures.append((values.get("src"), values.get("alt")))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        while tag in self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if "code" in self.open and not {"a", "pre", "h1", "h2", "h3", "h4"} & set(self.open):
            self.code.append(data)


def pages_of(site):
    pages = {
        path: Page(path) for path in sorted(site.rglob("*.html")) if "_static" not in path.parts
    }
    assert pages, f"{site} has no pages"
    return pages


def is_elsewhere(target):
    return urlsplit(target).scheme not in {"", "data", "file"} or target.startswith("//")


def broken_links(site, pages):
    """Links and loaded files within the site that do not exist."""
    for path, page in pages.items():
        for target in [*page.links, *page.loaded]:
            parts = urlsplit(target)
            if is_elsewhere(target) or parts.scheme == "data":
                continue
            found = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            known = pages[found].ids if found in pages else {anchor}
            is_here = found.is_file() and found.is_relative_to(site)
            if not is_here or (anchor and anchor not in known):
                yield f"{path.relative_to(site)}: {target}"


def links_elsewhere(pages):
    return sorted(
        {target for page in pages.values() for target in filter(is_elsewhere, page.links)}
    )


def links_without_protection(pages):
    """Links elsewhere that are not for everyone, or not encrypted."""
    for target in links_elsewhere(pages):
        if not target.startswith(("https://", "mailto:")):
            yield target


def loaded_from_elsewhere(site, pages):
    """Scripts, styles, fonts and pictures that a page takes from another host."""
    for path, page in pages.items():
        for target in filter(is_elsewhere, page.loaded):
            yield f"{path.relative_to(site)}: {target}"
    for path in site.rglob("*.css"):
        for target in LOADED_BY_STYLE.findall(path.read_text("utf-8")):
            if is_elsewhere(target):
                yield f"{path.relative_to(site)}: {target}"


def pictures_without_text(site, pages):
    """Pictures without an alternative text, or with their address as such."""
    for path, page in pages.items():
        for source, text in page.pictures:
            if text is None or re.search(r"\.(png|svg|jpe?g)$", text):
                yield f"{path.relative_to(site)}: {source}"


def scripts_without_link(site, pages):
    """Scripts that a page names as code, where a reader cannot follow."""
    for path, page in pages.items():
        for text in page.code:
            named = SCRIPT.match(text)
            if named and (ROOT / named[1]).is_file():
                yield f"{path.relative_to(site)}: {text}"


# --- what a browser shows ---------------------------------------------------------------------

PRELUDE = """
const all = (selector) => [...document.querySelectorAll(selector)].filter(
  (e) => e.checkVisibility({ visibilityProperty: true, opacityProperty: true }));
const canScroll = (e) => ["auto", "scroll"].includes(getComputedStyle(e).overflowX);
const isTooNarrow = (e) => e.scrollWidth > e.clientWidth + 1;
const nameOf = (e) => `${e.tagName}.${e.className} "${e.textContent.trim().slice(0, 40)}"`;
"""
# Fonts may arrive after the page has loaded, and change widths in the next frame.
AFTER_LAYOUT = """
const nextFrame = () => new Promise(requestAnimationFrame);
document.fonts.ready.then(nextFrame).then(nextFrame).then(arguments[0]);
"""
# Elements beyond the right edge, except inside a box of the article that scrolls; and boxes of
# the layout that scroll sideways.
BEYOND_THE_EDGE = """
const edge = document.documentElement.clientWidth + 1;
const isInBoxThatScrolls = (e) => {
  let box = e.parentElement;
  while (box && !box.matches("article, header") && !canScroll(box)) box = box.parentElement;
  return Boolean(box) && !box.matches("article, header");
};
const layout = "html, .bd-article-container, article, .bd-sidebar-primary, .bd-sidebar-secondary";
return [
  ...all("article, article *, header, header *").filter(
    (e) => e.getBoundingClientRect().right > edge && !isInBoxThatScrolls(e)),
  ...all(layout).filter(isTooNarrow),
].slice(0, 3).map(nameOf);
"""
# Boxes that cut what they hold and have no bar that takes room. Chromium may leave the bar out if
# it is only the padding behind the text that has no room.
WITHOUT_BAR = """
const isCut = (e) =>
  e.scrollWidth - parseFloat(getComputedStyle(e).paddingRight) > e.clientWidth + 1;
const heightOfBar = (e) => {
  const { borderTopWidth, borderBottomWidth } = getComputedStyle(e);
  const borders = parseFloat(borderTopWidth) + parseFloat(borderBottomWidth);
  return e.offsetHeight - e.clientHeight - borders;
};
const found = all("article *").filter((e) => canScroll(e) && isCut(e) && heightOfBar(e) < 4);
return found.slice(0, 3).map(nameOf);
"""
# Boxes of code that cut a line of so many columns.
CUT_CODE = """
return all("article pre").filter((pre) => {
  pre.textContent = "0".repeat(arguments[0]);
  return isTooNarrow(pre);
}).map((pre) => nameOf(pre.parentElement));
"""
# Vertical centres of what the header shows.
HEADER_ROWS = """
return all("header :is(.navbar-item, .nav-item, button):not(.dropdown-menu *)").map((e) => {
  const { top, bottom } = e.getBoundingClientRect();
  return (top + bottom) / 2;
});
"""
TOP_BAR = """
return all("header .nav-item > .nav-link").map((e) => e.textContent.trim());
"""
# The box of the first example with prompts; what its button copies goes to window.copied.
EXAMPLE = """
document.addEventListener("copy", (e) => { window.copied = e.target.value });
return all("article pre").find((pre) => pre.textContent.includes(">>> "));
"""


def open_page(browser, path, width, scheme="light"):
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "", "features": media})
    resize(browser, width)
    browser.get(path.as_uri())
    browser.execute_async_script(AFTER_LAYOUT)


def resize(browser, width):
    # A narrow window is that of a phone, whose bars take no room unless a page draws them.
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width == NARROW}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def look(browser, script, *arguments):
    return browser.execute_script(PRELUDE + script, *arguments)


def requests_elsewhere(browser, path):
    """Addresses on other hosts that a page asks for; none of them is reached."""
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["http://*", "https://*"]})
    browser.get_log("performance")
    open_page(browser, path, WIDE)
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert sent
    return [url for params in sent if is_elsewhere(url := params["request"]["url"])]


def faults_of_width(browser, path, width, *, is_open=False):
    """What leaves its place twice: on a busy computer the layout may come after the page."""
    found = []
    for attempt in range(2):
        if is_open and attempt == 0:
            resize(browser, width)
            browser.execute_async_script(AFTER_LAYOUT)
        else:
            open_page(browser, path, width)
        found = look(browser, BEYOND_THE_EDGE) + look(browser, WITHOUT_BAR)
        if width == WIDE:
            found += look(browser, CUT_CODE, COLUMNS)
        if not found:
            break
    return found


@pytest.fixture(scope="module")
def site():
    if "SITE" not in os.environ:
        if not (SITE / "index.html").exists():
            pytest.skip(f"no site is built in {SITE}")
        sources = [
            path
            for folder in ("docs", "examples", "skmoe")
            for path in (ROOT / folder).rglob("*.*")
            if not MADE_BY_BUILDS & set(path.relative_to(ROOT).parts) and path.suffix != ".pyc"
        ]
        built = max(path.stat().st_mtime for path in SITE.rglob("*.html"))
        if built < max(path.stat().st_mtime for path in sources):
            pytest.skip(f"the site in {SITE} is older than its sources")
    return SITE


@pytest.fixture(scope="module")
def pages(site):
    return pages_of(site)


@pytest.fixture(scope="module")
def browser():
    driver = start_browser("performance")
    yield driver
    driver.quit()


def shown_pages(site):
    """Pages that people write, and some of those that are made of docstrings and examples."""
    written = [
        path
        for path in [*site.glob("*.html"), *site.glob("*/*.html")]
        if path.parent.name not in {"api", "_static"} and path.name != "iris_report.html"
    ]
    classes = site.glob("api/skmoe.[MC]*.html")
    return sorted({*written, *classes, *site.glob("api/*.export_*.html")})


# --- the site ---------------------------------------------------------------------------------


def test_links_and_anchors_exist(site, pages):
    assert not list(broken_links(site, pages))
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_links_elsewhere_are_encrypted(pages):
    assert not list(links_without_protection(pages))


def test_pages_load_nothing_from_another_host(site, pages):
    assert not list(loaded_from_elsewhere(site, pages))


def test_pictures_have_texts(site, pages):
    assert not list(pictures_without_text(site, pages))


def test_scripts_that_pages_cite_are_links(site, pages):
    assert not list(scripts_without_link(site, pages))
    cited = "source/tests/benchmarks/speed.py", "/blob/main/tests/benchmarks/speed.py"
    links = [target.removesuffix(".html") for page in pages.values() for target in page.links]
    assert any(target.endswith(cited) for target in links)


def test_classes_list_short_names_and_their_examples(site):
    text = (site / "api" / "skmoe.MixtureOfExpertsRegressor.html").read_text("utf-8")
    contents = re.search(r'id="pst-page-toc-nav".*?</nav>', text, re.S)[0]
    names = re.sub(r"<[^>]+>", "", contents).split()
    assert "predict_interval()" in names
    assert not [name for name in names if name.startswith("MixtureOfExpertsRegressor.")]
    assert "sphx-glr-thumbcontainer" in text


def test_formulas_need_no_script(site):
    text = (site / "user_guide" / "units.html").read_text("utf-8")
    assert "<math" in text or "∏" in text
    assert "$$" not in text
    assert "\\(" not in text


def test_nothing_leaves_the_window(browser, site):
    found = {
        (path.relative_to(site).as_posix(), width): faults
        for path in shown_pages(site)
        for width in [NARROW, WIDE]
        if (faults := faults_of_width(browser, path, width, is_open=width == WIDE))
    }
    assert not found


@pytest.mark.parametrize("width", [WIDE, 1200, 1000, NARROW])
def test_the_header_is_one_row(browser, site, width):
    open_page(browser, site / "index.html", width)
    centres = look(browser, HEADER_ROWS)
    assert len(centres) >= 2
    assert max(centres) - min(centres) < 10


def test_the_top_bar_has_what_readers_look_for(browser, site):
    open_page(browser, site / "index.html", WIDE)
    shown = look(browser, TOP_BAR)
    wanted = {"Is this for me?", "First hour", "Tutorials", "User guide", "Recipes", "API"}
    assert wanted <= set(shown)
    assert "Larger than memory" not in shown


@pytest.mark.parametrize("page", ["index.html", "user_guide/units.html", "search.html"])
def test_pages_work_without_a_network(browser, site, page):
    assert not requests_elsewhere(browser, site / page)


def test_code_is_copied_without_prompts_and_output(browser, site):
    open_page(browser, site / "index.html", WIDE)
    example = look(browser, EXAMPLE)
    assert "array(" in example.text
    button = example.find_element("xpath", "..").find_element("class name", "copybtn")
    actions = importlib.import_module("selenium.webdriver").ActionChains(browser)
    actions.move_to_element(example).pause(0.5).click(button).perform()
    code = browser.execute_script("return window.copied")
    assert ">>>" not in code
    assert "array(" not in code
    assert ".fit(X, y)" in code
    compile(code, "index.html", "exec")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_schemes_of_colours(browser, site, scheme):
    open_page(browser, site / "index.html", WIDE, scheme)
    ink, paper = browser.execute_script(
        "const s = getComputedStyle(document.body);"
        "return [s.color, s.backgroundColor].map((c) => Number(c.match(/\\d+/)[0]))"
    )
    assert (ink < 80 < 200 < paper) if scheme == "light" else (paper < 80 < 180 < ink)


# --- the checks find what they are for --------------------------------------------------------


def one_page(folder, body):
    path = folder / "index.html"
    path.write_text(f"<!DOCTYPE html><html><body>{body}</body></html>", "utf-8")
    return path


@pytest.mark.parametrize(
    ("check", "body", "faulty"),
    [
        (broken_links, '<p id="here"></p><a href="#here">x</a><a href="index.html#here">y</a>', ""),
        (broken_links, '<a href="other.html">x</a>', "other.html"),
        (broken_links, '<a href="#nowhere">x</a>', "#nowhere"),
        (broken_links, '<a href="index.html#nowhere">x</a>', "index.html#nowhere"),
        (broken_links, '<a href="file:///etc/hosts">x</a>', "file:///etc/hosts"),
        (broken_links, '<img alt="x" src="lost.png"/>', "lost.png"),
        (loaded_from_elsewhere, '<a href="https://x.org/a.js">x</a>', ""),
        (loaded_from_elsewhere, '<script src="https://x.org/a.js"></script>', "https://x.org/a.js"),
        (loaded_from_elsewhere, '<link rel="stylesheet" href="//x.org/a.css">', "//x.org/a.css"),
        (pictures_without_text, '<img src="a.png" alt="A line"/><img src="a.png" alt="">', ""),
        (pictures_without_text, '<img src="a.png"/>', "a.png"),
        (pictures_without_text, '<img src="a.png" alt="images/a.png"/>', "a.png"),
        (scripts_without_link, '<a href="x"><code>tests/site/test_site.py</code></a>', ""),
        (scripts_without_link, "<code>tests/no_such_file.py</code>", ""),
        (
            scripts_without_link,
            "<code><span>tests/site/test_site.py</span></code>",
            "tests/site/test_site.py",
        ),
    ],
)
def test_faults_of_files_are_found(tmp_path, check, body, faulty):
    one_page(tmp_path, body)
    found = list(check(tmp_path, pages_of(tmp_path)))
    assert found == ([f"index.html: {faulty}"] if faulty else [])


LONG = '<div style="width:2000px;height:9px">'
BOX = '<div style="overflow-x:auto">'
BAR = "<style>div::-webkit-scrollbar{height:9px} div::-webkit-scrollbar-thumb{color:red}</style>"


@pytest.mark.parametrize(
    ("body", "width", "is_faulty"),
    [
        ("<article><p>Some words.</p></article>", NARROW, False),
        (f"<article>{LONG}</div></article>", NARROW, True),
        (f'<article style="overflow:hidden">{LONG}</div></article>', NARROW, True),
        (f'<article style="overflow-x:auto">{LONG}</div></article>', NARROW, True),
        (f"{BAR}<article>{BOX}{LONG}</div></div></article>", NARROW, False),
        (f"<article>{BOX}{LONG}</div></div></article>", NARROW, True),
        ("<article><pre>short</pre></article>", WIDE, False),
        ('<article><pre style="width:600px;overflow:auto">short</pre></article>', WIDE, True),
    ],
)
def test_faults_of_width_are_found(browser, tmp_path, body, width, is_faulty):
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
    path = one_page(tmp_path, viewport + body)
    assert bool(faults_of_width(browser, path, width)) == is_faulty


def test_requests_to_other_hosts_are_found(browser, tmp_path):
    late = "const s = document.createElement('script'); s.src = 'https://x.org/a.js';"
    path = one_page(tmp_path, f"<script>{late} document.body.append(s)</script>")
    assert requests_elsewhere(browser, path) == ["https://x.org/a.js"]
    assert not requests_elsewhere(browser, one_page(tmp_path, "<p>Words</p>"))


if __name__ == "__main__":
    print("\n".join(links_elsewhere(pages_of(Path(sys.argv[1]).resolve()))))
