"""Rows: from what users give to what a fit or a prediction needs."""
