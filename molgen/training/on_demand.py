"""Predictors that a campaign's config names by their own config are trained before it starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from molgen.config.campaign import LedgerConfig, RunConfig
from molgen.config.loading import load_config
from molgen.config.objective import (
    DescriptorComponent,
    KnownFilter,
    NoveltyComponent,
    ObjectiveConfig,
    PredictorComponent,
)
from molgen.config.predictor import PredictorConfig
from molgen.errors import ConfigError


def train_missing(
    config_file: Path, overrides: Sequence[str], *, check: Callable[[RunConfig], None]
) -> None:
    """Train what a campaign needs and says how to make, where it is not there yet.

    Args:
        config_file: of the campaign.
        overrides: `dotted.key=value` texts.
        check: called before anything is trained with what of the config can be checked by then.

    Raises:
        ConfigError: one of the configs is wrong, or makes another endpoint.
        property_models.errors.PropertyModelError: the data is missing or unfit for training.
    """
    from molgen.training.running import run_predictor_training

    config = load_config(config_file, overrides)
    missing = untrained(config)
    if missing:
        check(without_untrained(config))
    for component in missing:
        assert component.trained_by is not None and component.folder is not None, "see `untrained`"
        run_predictor_training(Path(component.trained_by), [], Path(component.folder))


def untrained(config: RunConfig) -> list[PredictorComponent]:
    """The components that are to be trained first; their configs have been read and fit.

    Raises:
        ConfigError: one of their configs is wrong, or makes another endpoint.
    """
    found = [
        component
        for component in config.objective.components
        if isinstance(component, PredictorComponent)
        and component.trained_by is not None
        and not (Path(component.folder or "") / component.endpoint / "card.json").is_file()
    ]
    for component in found:
        predictor = load_config(Path(component.trained_by or ""), [], kind=PredictorConfig)
        name = predictor.resolved_endpoint().name
        if name != component.endpoint:
            raise ConfigError(
                f"objective: {component.trained_by} makes a predictor of {name!r}, the component "
                f"asks for {component.endpoint!r}; make the names equal"
            )
    return found


def without_untrained(config: RunConfig) -> RunConfig:
    """The config less what stands on predictors that are yet to be trained, for checking the rest.

    That includes earlier runs whose scores are to be taken over. Where no component would be left,
    a descriptor stands in for them, as an objective needs one.
    """
    missing = {(c.folder, c.endpoint) for c in untrained(config)}

    def is_ready(part: object) -> bool:
        named = isinstance(part, PredictorComponent | NoveltyComponent | KnownFilter)
        return not named or (part.folder, part.endpoint) not in missing  # type: ignore[attr-defined]  # named

    if not missing:
        return config
    objective = config.objective
    components = [c for c in objective.components if is_ready(c)]
    if not components:
        curve = objective.components[0].desirability
        components = [DescriptorComponent(type="descriptor", name="qed", desirability=curve)]
    filters = [f for f in objective.filters if is_ready(f)]
    rest = ObjectiveConfig(
        aggregation=objective.aggregation, filters=filters, components=components
    )
    ledger = LedgerConfig(**config.ledger.model_dump() | {"reuse_from": []})
    return config.model_copy(update={"objective": rest, "ledger": ledger})
