"""Reports are opened in a browser with `--site`, as pages of the site are."""


def pytest_ignore_collect(collection_path, config):
    in_browser = collection_path.name == "test_report_in_browser.py"
    return True if in_browser and not config.getoption("site") else None
