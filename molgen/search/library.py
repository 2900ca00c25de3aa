"""A library on disk: real molecules that compete with the proposed ones for oracle calls."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from molgen.errors import ConfigError


class Library:
    """SMILES of a file, one a line; whether a line can be read shows when it is drawn.

    Args:
        file: text, the SMILES first in each line.

    Raises:
        ConfigError: it cannot be read, or is empty.
    """

    def __init__(self, file: str) -> None:
        try:
            lines = Path(file).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"search.library: {file}: {error}") from None
        self._smiles = [line.split()[0] for line in lines if line.strip()]
        if not self._smiles:
            raise ConfigError(f"search.library: {file}: holds no molecule")

    def draw(self, n: int, rng: np.random.Generator) -> list[str]:
        """N at random; some may come again another time, and are then known to the ledger."""
        rows = rng.choice(len(self._smiles), size=min(n, len(self._smiles)), replace=False)
        return [self._smiles[i] for i in rows]
