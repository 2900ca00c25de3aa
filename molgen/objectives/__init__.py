"""What a good molecule is: filters, components, and the reward they add up to.

The public names are imported on first use, so `import molgen.objectives` is light.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from molgen.objectives.objective import Objective, check_objective, make_objective

SHIPPED_PREDICTORS = Path(__file__).parents[1] / "artifacts" / "predictors"

__all__ = ["SHIPPED_PREDICTORS", "Objective", "check_objective", "make_objective"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module("molgen.objectives.objective"), name)
