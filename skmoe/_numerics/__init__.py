"""Numerical methods: functions of arrays, without validation and without estimators."""
