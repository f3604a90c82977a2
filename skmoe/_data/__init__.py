"""Data: validation, encoding, standardisation, folds and row blocks."""
