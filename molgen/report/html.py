"""report.html: one page that needs nothing but itself."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jinja2
from markupsafe import Markup, escape

from molgen.config.objective import AlertFilter, AlertsComponent
from molgen.graphs.open_stereo import MAX_ISOMERS
from molgen.report.cards import Card
from molgen.report.record import RunRecord
from molgen.report.second_opinion import Opinion
from molgen.report.summary import (
    funnel,
    learning,
    manifest_rows,
    objective_rows,
    objective_sentence,
    rejections,
)
from molgen.report.wording import MISSING, number, plural


@dataclass(frozen=True)
class Core:
    """A part that the campaign kept, laid out like the candidates that hold it."""

    smiles: str
    drawing: Markup


def render(
    run: RunRecord, cards: Sequence[Card], *, n_candidates: int, cores: Sequence[Core] = (),
    opinions: Sequence[Opinion] = (),
) -> str:  # fmt: skip
    """The report as HTML.

    Args:
        run: The run.
        cards: Candidates to show, in order of rank.
        n_candidates: Number of candidates in candidates.csv and candidates.sdf.
        cores: The campaign's prompts.
        opinions: What other models say of the candidates.

    Returns:
        A complete document. All text is escaped; styles, drawings and the little script are
        inside, and nothing is loaded from anywhere. Without the script everything can be read.
    """
    template = _environment().get_template("page.html")
    return template.render(
        run=run,
        config=run.config,
        cards=cards,
        cores=cores,
        opinions=opinions,
        n_candidates=n_candidates,
        objective=objective_rows(run.config.objective),
        objective_sentence=objective_sentence(
            run.config.objective, pareto=run.config.search.pareto
        ),
        looks_for_alerts=any(
            isinstance(part, AlertsComponent | AlertFilter)
            for part in [*run.config.objective.components, *run.config.objective.filters]
        ),
        funnel=funnel(run),
        rejections=rejections(run.table),
        learning=learning(run),
        manifest=manifest_rows(run.manifest),
        max_isomers=MAX_ISOMERS,
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("molgen.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = {
        "number": number,
        "breakable": breakable,
        "linked": linked,
        "counted": plural,
    }
    environment.filters.update(filters)
    environment.globals["MISSING"] = MISSING
    return environment


def breakable(name: str) -> Markup:
    """Escaped text that may wrap after an underscore."""
    return Markup(str(escape(name)).replace("_", "_<wbr>"))


def linked(text: str) -> Markup:
    """Escaped text in which web addresses can be followed; nothing is loaded until they are."""
    return Markup(
        re.sub(
            r"https?://[^\s<>&\"',;)]+",
            lambda match: f'<a href="{match[0]}" rel="noopener noreferrer">{match[0]}</a>',
            str(escape(text)),
        )
    )
