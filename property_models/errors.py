"""Every error a user of `property_models` can cause.

    PropertyModelError          one clear line, no traceback
    ├── DataError               a table, a data folder or an endpoint name is missing or wrong
    │   └── MissingDataError    a table is not here
    └── ModelFileError          a predictor folder, its weights or its card is missing or broken

A message says what is wrong, where (file and key or row), and what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class PropertyModelError(Exception):
    """A fault that the user can mend; shown as one line."""


class DataError(PropertyModelError):
    """A table, a data folder or an endpoint name is missing or wrong."""


class MissingDataError(DataError):
    """A table is not here."""


class ModelFileError(PropertyModelError):
    """A predictor folder, its weights or its card is missing or broken."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' (did you mean ...?)' for a message, where a known name is close, else ''."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
