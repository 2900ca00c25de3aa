"""The kinds of config file, told apart by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from molgen.config.base import Section
from molgen.config.campaign import RunConfig
from molgen.config.loading import config_keys, config_schema, load_config
from molgen.config.predictor import PredictorConfig
from molgen.config.pretraining import PretrainingConfig
from molgen.errors import ConfigError

KINDS: dict[str, type[Section]] = {
    "campaign": RunConfig,
    "pretraining": PretrainingConfig,
    "predictor": PredictorConfig,
}


def load_any(path: Path, overrides: Sequence[str]) -> Section:
    """Load a config whose kind its keys show: `members`, `training` or `data`, else a campaign.

    Raises:
        ConfigError: it cannot be read or does not fit that kind.
    """
    keys = config_keys(path)
    if "members" in keys:
        kind = "predictor"
    elif "training" in keys or ("data" in keys and "objective" not in keys):
        kind = "pretraining"
    else:
        kind = "campaign"
    return load_config(path, overrides, kind=KINDS[kind])


def schema(kind: str) -> dict[str, Any]:
    """JSON Schema of a kind.

    Raises:
        ConfigError: no such kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"no config kind {kind!r}; there are {', '.join(KINDS)}")
    return config_schema(KINDS[kind])
