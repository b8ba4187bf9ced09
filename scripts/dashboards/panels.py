"""How our dashboards look: the same variables, links and kinds of panels in each.

`$__rate_interval` is Grafana's own: as many scrapes as a rate needs, whatever the interval is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

TAG = "memorybank"
SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
GOOD, WARNING, BAD = "green", "orange", "red"

Panel = Builder[model.Panel]


@dataclass(frozen=True)
class Query:
    """What Prometheus is asked, and what a line of it is called."""

    expression: str
    legend: str = ""


def board(
    title: str, description: str, variables: Sequence[Builder[model.VariableModel]]
) -> dashboard.Dashboard:
    """Return a dashboard without panels."""
    others = (
        dashboard.DashboardLink("Memory banks")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG]).as_dropdown(True).keep_time(True).include_vars(True)
    )  # fmt: skip
    made = (
        dashboard.Dashboard(title)
        .description(description).tags([TAG]).readonly().timezone("browser")
        .time("now-6h", "now").refresh("1m").tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(others)
        .with_variable(dashboard.DatasourceVariable("datasource").label("Source").type("prometheus"))
    )  # fmt: skip
    for each in variables:
        made = made.with_variable(each)
    return made


def row(made: dashboard.Dashboard, title: str, *panels: Panel) -> dashboard.Dashboard:
    """Add panels below a title."""
    made = made.with_row(dashboard.Row(title))
    for each in panels:
        made = made.with_panel(each)
    return made


def choice(name: str, label: str, query: str, *, several: bool = False) -> dashboard.QueryVariable:
    """A variable whose values are those of a label; with `several`, any number of them or all."""
    made = (
        dashboard.QueryVariable(name).label(label).query(query).datasource(SOURCE)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
    )  # fmt: skip
    if several:
        everything = model.VariableOption(text="All", value="$__all")
        made = made.multi(True).include_all(True).all_value(".+").current(everything)
    return made


def chart(
    title: str, unit: str, description: str, *queries: Query, width: int = 8, stacked: bool = False
) -> timeseries.Panel:
    """Lines over time. Units are Grafana's: s, bytes, reqps, short, percentunit and so on."""
    made = (
        timeseries.Panel()
        .title(title).description(description).datasource(SOURCE).unit(unit).min(0)
        .height(8).span(width).fill_opacity(12).line_width(1)
        .show_points(looks.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions().show_legend(True)
            .display_mode(looks.LegendDisplayMode.LIST).placement(looks.LegendPlacement.BOTTOM)
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING)
        )
    )  # fmt: skip
    if stacked:
        made = made.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    for target in _targets(queries):
        made = made.with_target(target)
    return made


def number(
    title: str, unit: str, description: str, query: Query, *steps: tuple[float, str], width: int = 4
) -> stat.Panel:
    """The newest value, in the colour of the last of the steps that it reaches; green without."""
    colours = [model.Threshold(value=None, color=steps[0][1] if steps else GOOD)]
    colours += [model.Threshold(value=value, color=colour) for value, colour in steps[1:]]
    made = (
        stat.Panel()
        .title(title).description(description).datasource(SOURCE).unit(unit)
        .height(4).span(width).no_value("-")
        .graph_mode(looks.BigValueGraphMode.NONE)
        .color_mode(looks.BigValueColorMode.VALUE)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(
            dashboard.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(colours)
        )
    )  # fmt: skip
    if query.legend:
        made = made.text_mode(looks.BigValueTextMode.NAME)
    for target in _targets([query]):
        made = made.with_target(target.instant())
    return made


def listing(
    title: str, unit: str, description: str, query: Query, *labels: str, width: int = 12
) -> table.Panel:
    """A row for each series as it is now: these labels, and its value by the name of the legend."""
    made = (
        table.Panel()
        .title(title).description(description).datasource(SOURCE).unit(unit)
        .height(8).span(width).no_value("none").filterable(True)
        .with_transformation(
            model.DataTransformerConfig(
                id_val="filterFieldsByName", options={"include": {"names": [*labels, "Value"]}}
            )
        )
        .with_transformation(
            model.DataTransformerConfig(
                id_val="organize",
                options={
                    "indexByName": {name: place for place, name in enumerate((*labels, "Value"))},
                    "renameByName": {"Value": query.legend},
                },
            )
        )
    )  # fmt: skip
    for target in _targets([query]):
        made = made.with_target(target.instant().format(PromQueryFormat.TABLE))
    return made


def quantiles(metric: str, selector: str, *quantiles: float, by: str = "") -> list[Query]:
    """Queries for quantiles of a histogram, for each value of a label if one is named."""
    labels = f"le, {by}" if by else "le"
    rate = f"sum by ({labels}) (rate({metric}_bucket{{{selector}}}[$__rate_interval]))"
    return [
        Query(
            f"histogram_quantile({each:g}, {rate})",
            f"{{{{{by}}}}}" if by else f"p{each * 100:g}",
        )
        for each in quantiles
    ]


def _targets(queries: Sequence[Query]) -> Iterator[prometheus.Dataquery]:
    for letter, each in zip("ABCDEFGH", queries, strict=False):
        target = prometheus.Dataquery().ref_id(letter).expr(each.expression).datasource(SOURCE)
        yield target.legend_format(each.legend) if each.legend else target
