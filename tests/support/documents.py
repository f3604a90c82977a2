"""Documents of `to_dict` that are changed, as whoever forges one can, with a checksum that fits."""

import hashlib
import json


def _numbers_as_floats(value):
    """Whole numbers may be written with or without a decimal point."""
    if isinstance(value, dict):
        return {name: _numbers_as_floats(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_numbers_as_floats(entry) for entry in value]
    is_integer = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**53
    return float(value) if is_integer else value


def sealed(document):
    """The document with the checksum of its content."""
    content = {key: value for key, value in document.items() if key != "checksum"}
    text = json.dumps(_numbers_as_floats(content), sort_keys=True, allow_nan=False)
    return content | {"checksum": hashlib.sha256(text.encode()).hexdigest()}


def array(values, dtype="float64"):
    """An array in a document."""
    return {"type": "array", "dtype": dtype, "values": values}


def holders(document, *names):
    """All dicts and lists that are found by names one below the other, anywhere in a document."""
    entries = document.items() if isinstance(document, dict) else enumerate(document)
    for _, entry in list(entries):
        if isinstance(entry, dict | list):
            yield from holders(entry, *names)
    found = document
    for name in names:
        try:
            found = found[name]
        except (KeyError, IndexError, TypeError):
            return
    if isinstance(found, dict | list):
        yield found
