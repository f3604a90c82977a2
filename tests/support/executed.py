"""Functions of the package that a call executes."""

import sys
from contextlib import contextmanager
from pathlib import Path

import skmoe

PACKAGE = f"{Path(skmoe.__file__).parent}/"


def executed(call):
    """Names of the functions of the package that a call executes, as "file:function".

    Comprehensions, lambdas and bodies of modules are no functions. The call is made once before, so
    that imports and caches do not depend on what was executed earlier.
    """
    call()
    found = set()

    def record(frame, event, _):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(PACKAGE) and code.co_name[0] != "<":
            found.add(f"{code.co_filename.removeprefix(PACKAGE)}:{code.co_qualname}")

    with _profiled(record):
        call()
    return found


@contextmanager
def _profiled(record):
    before = sys.getprofile()
    sys.setprofile(record)
    try:
        yield
    finally:
        sys.setprofile(before)


def files_of(functions):
    """Files of functions that `executed` returns."""
    return {function.split(":")[0] for function in functions}
