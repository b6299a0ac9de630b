"""The kinds of panels with their common appearance. The modules that use them set their content."""

from grafana_foundation_sdk.builders import common as builders
from grafana_foundation_sdk.builders import dashboard, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode, HeatmapColorScale

from helm.dashboards.parts import DATASOURCE, GREEN, PLAIN, by_name, by_thresholds, legend, prop, steps

NOT_KNOWN = "not known"
ONE_DAY_S = 86_400


def number(title: str, description: str, unit: str, width: int) -> stat.Panel:
    """One value in large type. The background has the colour of the value."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(width)
        .height(4)
        .no_value(NOT_KNOWN)
        .thresholds(steps(PLAIN))
        .color_scheme(by_thresholds())
        .color_mode(common.BigValueColorMode.BACKGROUND_SOLID)
        .graph_mode(common.BigValueGraphMode.NONE)
        .reduce_options(_last())
    )


def plain_number(title: str, description: str, unit: str, width: int) -> stat.Panel:
    """One value without a colour scale."""
    return number(title, description, unit, width).color_mode(common.BigValueColorMode.NONE)


def word(title: str, description: str, width: int) -> stat.Panel:
    """The names of the series in large type. The values only determine the colour."""
    return number(title, description, "short", width).text_mode(common.BigValueTextMode.NAME)


def lines(title: str, description: str, unit: str, width: int = 12, *calculations: str) -> timeseries.Panel:
    """Lines over time."""
    return (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(width)
        .height(8)
        .no_value(NOT_KNOWN)
        .axis_soft_min(0)
        .thresholds(steps(GREEN))
        .color_scheme(by_name())
        .line_width(1)
        .fill_opacity(8)
        .show_points(common.VisibilityMode.NEVER)
        .legend(legend(*calculations))
        .tooltip(_all_at_once())
    )


def with_lines_at(panel: timeseries.Panel, base: str, *above: tuple[float, str]) -> timeseries.Panel:
    """Thresholds drawn as dashed lines."""
    style = builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
    return panel.thresholds(steps(base, *above)).thresholds_style(style)


def bars(title: str, description: str, unit: str, width: int = 12) -> timeseries.Panel:
    """Stacked bars over time."""
    stacked = builders.StackingConfig().mode(common.StackingMode.NORMAL).group("A")
    panel = lines(title, description, unit, width).draw_style(common.GraphDrawStyle.BARS)
    return panel.fill_opacity(80).line_width(0).stacking(stacked)


def states(
    title: str, description: str, height: int, mappings: models.ValueMap, width: int = 24
) -> statetimeline.Panel:
    """A row for each series, coloured by the meaning of its values. The row is empty where the value is unknown."""
    return (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit("short")
        .span(width)
        .height(height)
        .no_value(NOT_KNOWN)
        .mappings([mappings])
        .thresholds(steps(PLAIN))
        .color_scheme(by_thresholds())
        .show_value(common.VisibilityMode.NEVER)
        .row_height(0.8)
        .line_width(0)
        .fill_opacity(90)
        .legend(legend())
        .tooltip(_all_at_once())
    )


def heat(title: str, description: str, unit: str, height: int) -> heatmap.Panel:
    """A row for each series, in the given order. The larger a value, the redder its colour."""
    color = heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("RdYlGn").reverse(True).steps(64)
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit(unit)
        .span(24)
        .height(height)
        .no_value(NOT_KNOWN)
        .thresholds(steps(GREEN))
        .calculate(False)
        .color(color.scale(HeatmapColorScale.EXPONENTIAL).exponent(0.5).min(0))
        .cell_values(heatmap.CellValues().unit(unit))
        .filter_values(heatmap.FilterValueRange().le(-ONE_DAY_S))
        .rows_frame(heatmap.RowsHeatmapOptions().layout(common.HeatmapCellLayout.AUTO).value("behind"))
        .tooltip(heatmap.HeatmapTooltip().mode(common.TooltipDisplayMode.SINGLE).show_color_scale(True))
    )


def grid(title: str, description: str, width: int, height: int, sort_by: str) -> table.Panel:
    """A table, sorted by one column, descending."""
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATASOURCE)
        .unit("short")
        .span(width)
        .height(height)
        .no_value("-")
        .thresholds(steps(PLAIN))
        .color_scheme(by_thresholds())
        .filterable(True)
        .sort_by([builders.TableSortByFieldState().display_name(sort_by).desc(True)])
    )


def as_columns(names: dict[str, str]) -> list[models.DataTransformerConfig]:
    """Return transformations that make one row of each set of labels.

    A row has only these columns, in this order and with these names.
    """
    wanted = {"include": {"names": list(names)}}
    order = {"indexByName": {name: place for place, name in enumerate(names)}, "renameByName": names}
    return [
        models.DataTransformerConfig(id_val="merge", options={}),
        models.DataTransformerConfig(id_val="filterFieldsByName", options=wanted),
        models.DataTransformerConfig(id_val="organize", options={**order, "excludeByName": {}}),
    ]


def colored() -> models.DynamicConfigValue:
    """The properties of an override for a column whose cells have the colour of their values."""
    return prop("custom.cellOptions", {"type": "color-background", "mode": "basic"})


def thresholds(base: str, *above: tuple[float, str]) -> models.DynamicConfigValue:
    """The property of an override for a column with its own thresholds."""
    found: list[dict[str, object]] = [{"value": None, "color": base}]
    found += [{"value": value, "color": color} for value, color in above]
    return prop("thresholds", {"mode": "absolute", "steps": found})


def row(title: str) -> dashboard.Row:
    """A heading between panels."""
    return dashboard.Row(title).collapsed(False)


def _last() -> builders.ReduceDataOptions:
    return builders.ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("")


def _all_at_once() -> builders.VizTooltipOptions:
    return builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
