"""Fitted estimators as documents."""
