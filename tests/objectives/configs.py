"""Short ways to write the parts of an objective in tests."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from molgen.config.objective import (
    CommandComponent,
    DescriptorComponent,
    HttpComponent,
    Increasing,
    ObjectiveConfig,
    PythonComponent,
)

UP = Increasing(zero_at=0.0, one_at=1.0)
ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
CAFFEINE = "Cn1c(=O)c2c(ncn2C)n(C)c1=O"
PARACETAMOL = "CC(=O)Nc1ccc(O)cc1"
QED = DescriptorComponent(type="descriptor", name="qed", desirability=UP)


def command(*arguments: str, **options: Any) -> CommandComponent:
    """A component that runs a program."""
    settings = {"timeout_s": 20.0, "max_restarts": 0} | options
    return CommandComponent(
        type="command", name="oracle", command=list(arguments), desirability=UP, **settings
    )


def script(path: Path, body: str, **options: Any) -> CommandComponent:
    """A component that runs a Python program; `body` sees json, os, sys and time."""
    path.write_text("import json, os, sys, time\n" + body)
    return command(sys.executable, str(path), **options)


def http(url: str, **options: Any) -> HttpComponent:
    """A component that posts to a service."""
    settings = {"timeout_s": 20.0, "max_retries": 0} | options
    return HttpComponent(type="http", name="service", url=url, desirability=UP, **settings)


def python(function: str, **options: Any) -> PythonComponent:
    """A component that calls a function."""
    return PythonComponent(
        type="python", name="function", function=function, desirability=UP, **options
    )


def objective(*components: Any, **options: Any) -> ObjectiveConfig:
    """An objective of the components."""
    return ObjectiveConfig(components=list(components), **options)
