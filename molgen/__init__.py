"""molgen: generate, score and learn drug molecules. The command line is `molgen.cli`."""
