"""Fitted estimators as documents and files."""
