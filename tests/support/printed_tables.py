"""Tables of coefficients in printed summaries, as numbers by part, response and term."""

import re

import numpy as np

# Names of columns, of which some are two or three words.
HEADINGS = re.compile(r"std\. error|[\d.]+ %|ratio of means|noise variance ratio|\w+ ratio|\S+")

# Names of the same columns in frames.
IN_FRAMES = {"std. error": "standard error", "2.5 %": "lower", "97.5 %": "upper"}


def printed_tables(text):
    """Cells of each term by the names of columns in frames, with the text behind them.

    Intervals of what exponentials are, such as odds ratios, have names such as "odds ratio lower".
    """
    part, response, columns, found = None, "", [], {}
    for line in text.splitlines():
        if re.match(r"\S.* \(.*\): .* % of the", line):
            part, columns = line.split(" (")[0], []
        elif line.startswith(("Gate: ", "Common to ")):
            part = "gate" if line.startswith("Gate") else line.removeprefix("Common to ")
            columns = []
        elif part is not None and re.match(r" {22,}[a-z]", line):
            matches = [*HEADINGS.finditer(line)]
            first = matches[0].group()
            ends = [match.end() for match in matches]
            begin = ends[0] - max(11, len(first) + 1)
            names = [IN_FRAMES.get(match.group(), match.group()) for match in matches]
            if first != "estimate":
                names = [first, f"{first} lower", f"{first} upper"]
            columns = list(zip(names, [begin, *ends], ends, strict=False))
            response = ""
        elif not line.startswith("  "):
            part = None
        elif columns:
            cells = {name: line[left:right].strip() for name, left, right in columns}
            if any(cells.values()):
                row = found.setdefault((part, response, line[: columns[0][1]].strip()), {})
                row |= cells | {"remark": line[columns[-1][2] :].strip()}
            else:
                response = line.strip()
    return found


def assert_printed(text, number):
    """A printed number is the number, but for its rounding."""
    if np.isnan(number):
        assert text == ""
    elif text.startswith("<"):
        assert number < float(text[1:])
    else:
        digits = len(text.partition("e")[0].partition(".")[2])
        exponent = int(text.partition("e")[2] or 0)
        rounding = 0.51 * 10.0 ** (exponent - digits)
        assert abs(float(text) - number) <= rounding + 6e-4 * abs(number)
