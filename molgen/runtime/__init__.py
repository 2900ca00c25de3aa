"""Workers, checkpoints and the mirror in MLflow."""
