"""Config files: one module for each kind, loading and its errors."""
