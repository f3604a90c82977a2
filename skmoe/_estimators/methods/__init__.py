"""Methods of fitted estimators, each group in a mixin."""
