"""Every error a user can cause.

    MolgenError                 exit code 2: one clear line, no traceback
    ├── ConfigError             a config file, an override or an option is wrong
    ├── DataError               an input file or a run folder is missing or broken
    ├── ModelFileError          a weights file or its card is missing or broken
    └── ScorerError             exit code 3: a scorer keeps failing; the run can be resumed

A message says what is wrong, where (file and key or row), and what to do.
`property_models` stands below molgen and has its own tree; the command line treats
`property_models.errors.PropertyModelError` like `MolgenError`.
"""


class MolgenError(Exception):
    """A fault that the user can mend; shown as one line."""

    exit_code = 2


class ConfigError(MolgenError):
    """A config file, an override or a command-line option is wrong."""


class DataError(MolgenError):
    """An input file or a run folder is missing or broken."""


class ModelFileError(MolgenError):
    """A weights file or its card is missing or broken."""


class ScorerError(MolgenError):
    """A scorer failed too often; what was scored is safe and the run can be resumed."""

    exit_code = 3
