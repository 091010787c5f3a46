"""Panels -> dashboard: the frame that all have in common: variables, links to each other, what happened to the pods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog import builder
from grafana_foundation_sdk.models import dashboard as models

from grafana.panels import DATASOURCE
from grafana.queries import DEPLOYMENT, of

# The uid and title of each dashboard. An address in an alert or a bookmark holds the uid: it never changes.
TITLES = {
    "celery-overview": "Celery: overview",
    "celery-queue": "Celery: one queue",
    "celery-task": "Celery: one task",
    "celery-workers": "Celery: workers and scaling",
    "celery-broker": "Celery: broker",
    "celery-beat": "Celery: beat",
}
# What a click takes along: where to look, and when.
_ALONG = "${datasource:queryparam}&${namespace:queryparam}&${__url_time_range}"

Panel = builder.Builder[models.Panel]


class Choice(NamedTuple):
    """A variable: its values are those that `label` has in `series`. several: any number of them, or all."""

    name: str
    series: str
    label: str
    several: bool = False
    hidden: bool = False


class Row(NamedTuple):
    """A row, named by its component and the question that it answers."""

    title: str
    panels: Sequence[Panel]


NAMESPACE = Choice("namespace", "celery_exporter_redis_up", "namespace", several=True)


def to(uid: str, variable: str, label: str) -> str:
    """Return the address of a dashboard with `variable` set to the `label` of the series that was clicked."""
    return f"/d/{uid}?var-{variable}=${{__field.labels.{label}}}&{_ALONG}"


def to_cell(uid: str, variable: str) -> str:
    """Return the address of a dashboard with `variable` set to the text of the cell that was clicked."""
    return f"/d/{uid}?var-{variable}=${{__value.text}}&{_ALONG}"


def page(uid: str, text: str, choices: Sequence[Choice], rows: Sequence[Row]) -> models.Dashboard:
    """Return a dashboard of `rows`. text: the question that it answers."""
    whole = (
        builders.Dashboard(TITLES[uid])
        .uid(uid)
        .description(text)
        .tags(["celery"])
        .timezone("browser")
        .time("now-1h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .with_variable(builders.DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    for choice in (NAMESPACE, *choices):
        whole.with_variable(_variable(choice))
    for other, title in TITLES.items():
        if other != uid:
            whole.link(_link(other, title.removeprefix("Celery: ").capitalize()))
    for annotation in _happened():
        whole.annotation(annotation)
    for row in rows:
        whole.with_row(builders.Row(row.title))
        for panel in row.panels:
            whole.with_panel(panel)
    return _numbered(whole.build())


def _variable(choice: Choice) -> builders.QueryVariable:
    query = f"label_values({choice.series}, {choice.label})"
    variable = (
        builders.QueryVariable(choice.name)
        .label(choice.name.capitalize())
        .query({"query": query, "refId": choice.name})
        .datasource(DATASOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
    )
    if choice.several:
        # .* also where there is no such label: a Prometheus outside of Kubernetes knows no namespace.
        everything = models.VariableOption(text="All", value="$__all")
        variable.multi(True).include_all(True).all_value(".*").current(everything)
    if choice.hidden:
        variable.hide(models.VariableHide.HIDE_VARIABLE)
    return variable


def _link(uid: str, title: str) -> builders.DashboardLink:
    link = builders.DashboardLink(title).type(models.DashboardLinkType.LINK).url(f"/d/{uid}")
    return link.icon("dashboard").keep_time(True).include_vars(True)


def _happened() -> list[builders.AnnotationQuery]:
    """What was done to the pods, from kube-state-metrics. A new number of replicas is a new generation, too."""
    deployment = f'deployment=~"{DEPLOYMENT}.+|.*-(beat|exporter|api|flower)"'
    labels = "max by (namespace, deployment)"
    deployed = f"{labels} (changes({of('kube_deployment_status_observed_generation', deployment)}[2m]))"
    scaled = f"{labels} (changes({of('kube_deployment_spec_replicas', deployment)}[2m]))"
    return [
        _annotation("Deploys", "blue", f"{deployed} > {scaled}"),
        _annotation("Scaling", "purple", f"{scaled} > 0"),
    ]


def _annotation(name: str, color: str, expr: str) -> builders.AnnotationQuery:
    target = builders.AnnotationTarget().limit(100).match_any(False).tags([]).type("tags")
    return (
        builders.AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(color)
        .expr(expr)
        .target(target)
    )


def _numbered(whole: models.Dashboard) -> models.Dashboard:
    """Give each panel a number: an address of one panel holds it."""
    for number, panel in enumerate(whole.panels or (), start=1):
        panel.id_val = number
    return whole
