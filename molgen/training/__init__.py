"""Training the generator and the predictors."""
