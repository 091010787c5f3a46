"""Queries -> panels: the few kinds of panels that there are here, each with a unit, a description and thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from grafana_foundation_sdk.builders import common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.models import common as kinds
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
# Rows of the grid.
STAT_HEIGHT, GRAPH_HEIGHT, TABLE_HEIGHT = 4, 8, 8

# Columns up to which a graph has no room for names beside it.
NARROW = 8

# A threshold: from this value on, this colour.
Steps = Sequence[tuple[float, str]]
COUNT, PER_SECOND, SECONDS, SHARE, BYTES = "short", "suffix: /s", "s", "percentunit", "bytes"


class Query(NamedTuple):
    """A query, the name of its series, and whether it is what others are held against: a dashed red line."""

    expr: str
    legend: str
    limit: bool = False


class Flag(NamedTuple):
    """The words and colours of 0 and 1."""

    no: tuple[str, str]
    yes: tuple[str, str]


# Of a table: the query, its unit or words, its thresholds.
Column = tuple[str, str | Flag, Steps]


def number(
    title: str, text: str, unit: str, expr: str, steps: Steps = (), *, span: int = 4, flag: Flag | None = None
) -> stat.Panel:
    """Return a panel with one number of now, coloured by `steps` or in the words of `flag`."""
    panel = (
        stat.Panel()
        .title(title)
        .description(text)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(span)
        .height(STAT_HEIGHT)
        .thresholds(_thresholds(steps))
        .no_value("nothing known")
        .color_mode(kinds.BigValueColorMode.BACKGROUND if steps or flag else kinds.BigValueColorMode.VALUE)
        .graph_mode(kinds.BigValueGraphMode.NONE if flag else kinds.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(0, Query(expr, title)))
    )
    if flag:
        panel.mappings([_words(flag)])
    return panel


def graph(
    title: str,
    text: str,
    unit: str,
    *queries: Query,
    steps: Steps = (),
    span: int = 12,
    link: str = "",
    top: float | None = None,
) -> timeseries.Panel:
    """Return a panel with a line for each series. link: where a click leads. top: the axis reaches this at least."""
    beside = kinds.LegendPlacement.RIGHT
    shown = kinds.GraphThresholdsStyleMode.LINE if steps else kinds.GraphThresholdsStyleMode.OFF
    panel = (
        timeseries.Panel()
        .title(title)
        .description(text)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(span)
        .height(GRAPH_HEIGHT)
        .min(0)
        .thresholds(_thresholds(steps))
        .thresholds_style(common.GraphThresholdsStyleConfig().mode(shown))
        .color_scheme(builders.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME))
        .line_width(2)
        .fill_opacity(5)
        # What is not scraped is not drawn on, but a scrape that was missed is no gap.
        .span_nulls(120_000)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(kinds.LegendDisplayMode.TABLE)
            .placement(beside if span > NARROW else kinds.LegendPlacement.BOTTOM)
            .calcs(["lastNotNull", "max"])
        )
        .tooltip(common.VizTooltipOptions().mode(kinds.TooltipDisplayMode.MULTI).sort(kinds.SortOrder.DESCENDING))
    )
    if top is not None:
        panel.axis_soft_max(top)
    if link:
        panel.data_links([_link(link)])
    for place, query in enumerate(queries):
        panel.with_target(_target(place, query))
        if query.limit:
            panel.override_by_query(_ref(place), _DASHED)
    return panel


def rows(title: str, text: str, key: str, columns: Mapping[str, Column], *, link: str = "") -> table.Panel:
    """Return a table with a row for each value of the label `key`.

    columns: heading -> query, unit or words, thresholds.
    """
    panel = (
        table.Panel()
        .title(title)
        .description(text)
        .datasource(DATASOURCE)
        .unit(COUNT)
        .span(24)
        .height(TABLE_HEIGHT)
        .align(kinds.FieldTextAlignment.AUTO)
        .inspect(False)
        .with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    )
    names = {key: key.removesuffix("_name")}
    for place, (heading, (expr, unit, steps)) in enumerate(columns.items()):
        panel.with_target(_target(place, Query(expr, heading), as_table=True))
        names[f"Value #{_ref(place)}"] = heading
        cell = "color-background" if steps else "auto"
        words = [models.DynamicConfigValue("mappings", [_words(unit).to_json()])] if isinstance(unit, Flag) else []
        panel.override_by_name(
            heading,
            [
                models.DynamicConfigValue("unit", COUNT if isinstance(unit, Flag) else unit),
                *words,
                models.DynamicConfigValue("thresholds", _thresholds(steps).build()),
                models.DynamicConfigValue("custom.cellOptions", {"type": cell}),
            ],
        )
    if link:
        panel.override_by_name(names[key], [models.DynamicConfigValue("links", [_link(link).build()])])
    order = {heading: place for place, heading in enumerate(names)}
    panel.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={"excludeByName": {"Time": True}, "indexByName": order, "renameByName": names},
        )
    )
    return panel


_DASHED = [
    models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]}),
    models.DynamicConfigValue("color", {"mode": "fixed", "fixedColor": "red"}),
    models.DynamicConfigValue("custom.fillOpacity", 0),
]


def _words(flag: Flag) -> models.ValueMap:
    return models.ValueMap({str(value): models.ValueMappingResult(*shown) for value, shown in enumerate(flag)})


def _thresholds(steps: Steps) -> builders.ThresholdsConfig:
    base = "green" if steps else "blue"
    colours = [models.Threshold(None, base), *(models.Threshold(value, color) for value, color in steps)]
    return builders.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(colours)


def _target(place: int, query: Query, as_table: bool = False) -> prometheus.Dataquery:
    target = (
        prometheus.Dataquery().ref_id(_ref(place)).expr(query.expr).legend_format(query.legend).datasource(DATASOURCE)
    )
    if as_table:
        return target.instant().format(PromQueryFormat.TABLE)
    return target.range()


def _ref(place: int) -> str:
    return "ABCDEFGHIJKLMNOP"[place]


def _link(where: str) -> builders.DashboardLink:
    return builders.DashboardLink("Look closer").url(where)
