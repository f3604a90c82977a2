"""Rows of data: validation, encoding, standardization, folds and blocks."""
