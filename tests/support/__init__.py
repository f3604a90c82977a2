"""Tables, fits, estimators and checks that several test modules use."""
