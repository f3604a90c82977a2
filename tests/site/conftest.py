"""The pages and the built site, which change less often than the code, are tested with `--site`."""


def pytest_ignore_collect(collection_path, config):
    return None if config.getoption("site") else True
