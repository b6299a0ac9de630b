"""The parts of panels and dashboards: data source, queries, thresholds, links, variables."""

from grafana_foundation_sdk.builders import common as builders
from grafana_foundation_sdk.builders import dashboard, prometheus
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

PAGE_URL = "http://localhost:8080"
RUNBOOK_URL = f"{PAGE_URL}/status/runbook.md"
"""The runbook's copy that the service serves. `PAGE_URL` is replaced when the dashboards are installed."""

DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
TAG = "clocksvc"
ONE_CLOCK, ALL_CLOCKS, CONSUMER = "clocksvc-clock", "clocksvc-fleet", "clocksvc-consumer"
SCHEDULES = "clocksvc-schedules"

GREEN, ORANGE, RED, PURPLE, BLUE, PLAIN = "green", "orange", "red", "purple", "blue", "text"


# -- queries -------------------------------------------------------------------------------------------------------


def over_time(expression: str, legend: str, name: str = "A") -> prometheus.Dataquery:
    """A query over the time range. Overrides and transformations refer to it by `name`."""
    return prometheus.Dataquery().expr(expression).legend_format(legend).range().ref_id(name)


def now(expression: str, legend: str, name: str = "A") -> prometheus.Dataquery:
    """A query for the end of the time range."""
    return prometheus.Dataquery().expr(expression).legend_format(legend).instant().ref_id(name)


def rows(expression: str, name: str) -> prometheus.Dataquery:
    """A query for the end of the time range. Its labels become the columns of a table."""
    return now(expression, "", name).format(PromQueryFormat.TABLE)


# -- appearance ---------------------------------------------------------------------------------------------------


def steps(base: str, *above: tuple[float, str]) -> dashboard.ThresholdsConfig:
    """Thresholds: a base colour, and for each step the value from which on its colour applies."""
    found = [models.Threshold(value=None, color=base)]
    found += [models.Threshold(value=value, color=color) for value, color in above]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(found)


def by_thresholds() -> dashboard.FieldColor:
    """The colour scheme that takes colours from the thresholds."""
    return dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS)


def by_name() -> dashboard.FieldColor:
    """The colour scheme that derives colours from names, so that a series keeps its colour when others change."""
    return dashboard.FieldColor().mode(models.FieldColorModeId.PALETTE_CLASSIC_BY_NAME)


def fixed(color: str) -> models.DynamicConfigValue:
    """The property of an override that gives one series its own colour."""
    return models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})


def prop(name: str, value: object) -> models.DynamicConfigValue:
    """A property of an override."""
    return models.DynamicConfigValue(id_val=name, value=value)


def words(texts: dict[str, tuple[str, str]]) -> models.ValueMap:
    """A mapping of values to a text and a colour."""
    results = {
        value: models.ValueMappingResult(text=text, color=color, index=index)
        for index, (value, (text, color)) in enumerate(texts.items())
    }
    return models.ValueMap(options=results)


def legend(*calculations: str) -> builders.VizLegendOptions:
    """A legend: a list below the panel, or a table beside the panel if there are calculations."""
    options = builders.VizLegendOptions().show_legend(True).calcs(list(calculations))
    if not calculations:
        return options.display_mode(common.LegendDisplayMode.LIST).placement(common.LegendPlacement.BOTTOM)
    return options.display_mode(common.LegendDisplayMode.TABLE).placement(common.LegendPlacement.RIGHT)


# -- variables -----------------------------------------------------------------------------------------------------


def datasource_variable() -> dashboard.DatasourceVariable:
    """The variable for the Prometheus data source."""
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def job_variable() -> dashboard.QueryVariable:
    """The variable for the installation, which is needed if one Prometheus scrapes several installations."""
    return _label_values("job", "Job", "clocksvc_build_info").multi(True).include_all(True).current(_all())


def consumer_job_variable() -> dashboard.QueryVariable:
    """The variable for the jobs of consumers. It has its own name, because links between dashboards keep variables."""
    return (
        _label_values("job", "Job", "clocksvc_consumer_healthy", "consumer_job")
        .multi(True)
        .include_all(True)
        .current(_all())
    )


def consumer_variable() -> dashboard.QueryVariable:
    """The variable for one consumer: the name that its processes give to ConsumerCollector."""
    return _label_values("consumer", "Consumer", 'clocksvc_consumer_healthy{job=~"$consumer_job"}')


def scheduler_job_variable() -> dashboard.QueryVariable:
    """The variable for the jobs of schedulers. It has its own name, as that for the jobs of consumers."""
    return (
        _label_values("job", "Job", "clocksvc_scheduler_build_info", "scheduler_job")
        .multi(True)
        .include_all(True)
        .current(_all())
    )


def scheduled_clock_variable() -> dashboard.QueryVariable:
    """The variable for one clock with schedules. Replicas of the service know it, also if no scheduler runs."""
    return _label_values("clock", "Clock", "clocksvc_schedule_partitions")


def clock_variable() -> dashboard.QueryVariable:
    """The variable for one clock. Its values come from `clocksvc_leader`, which every replica exports at any time."""
    return _label_values("clock", "Clock", 'clocksvc_leader{job=~"$job"}')


def clocks_variable() -> dashboard.QueryVariable:
    """The variable for several clocks. By default it has all clocks.

    Prometheus skips the matcher `.*`. The names of 2,000 clocks, or `.+`, would take several times as long.
    """
    return clock_variable().multi(True).include_all(True).current(_all()).all_value(".*")


def topic_variable() -> dashboard.QueryVariable:
    """The variable for the topics of the clock."""
    series = 'clocksvc_partition_clock_timestamp_seconds{job=~"$job",clock=~"$clock"}'
    topics = _label_values("topic", "Topic", series).multi(True).include_all(True).current(_all())
    return topics.all_value(".+")


def page_variable() -> dashboard.TextBoxVariable:
    """The variable for the address of the status page."""
    description = "The address of clocksvc's status page for your browser, without a final slash."
    return _address("page", "Status page", description, PAGE_URL)


def runbook_variable() -> dashboard.TextBoxVariable:
    """The variable for the address of the runbook."""
    return _address("runbook", "Runbook", "The address of clocksvc's runbook.", RUNBOOK_URL)


def _label_values(name: str, label: str, series: str, variable: str = "") -> dashboard.QueryVariable:
    query = f"label_values({series}, {name})"
    return (
        dashboard.QueryVariable(variable or name)
        .label(label)
        .datasource(DATASOURCE)
        .definition(query)
        .query({"qryType": 1, "query": query, "refId": f"{name}s"})
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.NATURAL_ASC)
    )


def _all() -> models.VariableOption:
    return models.VariableOption(selected=True, text=["All"], value=["$__all"])


def _address(name: str, label: str, description: str, url: str) -> dashboard.TextBoxVariable:
    return (
        dashboard.TextBoxVariable(name)
        .label(label)
        .description(description)
        .default_value(url)
        .hide(models.VariableHide.HIDE_VARIABLE)
    )


# -- links and dashboards -------------------------------------------------------------------------------------------


def page_link(fragment: str) -> dashboard.DashboardLink:
    """A link to the status page, or to one clock on this page."""
    return _link("Status page", "${page}/" + fragment, "external link", "What holds it, since when, and what to do")


def runbook_link() -> dashboard.DashboardLink:
    """A link to the runbook."""
    return _link("Runbook", "${runbook}", "doc", "The meaning of each hold and alert, and what to do")


def siblings_link() -> dashboard.DashboardLink:
    """A link to the other dashboards. It keeps the time range, the data source and the job."""
    return (
        dashboard.DashboardLink("clocksvc")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .include_vars(True)
        .keep_time(True)
    )


def blank(title: str, uid: str, description: str, job: dashboard.QueryVariable) -> dashboard.Dashboard:
    """A dashboard without panels, with the common settings. `job` is its variable for jobs."""
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .timezone("utc")
        .time("now-3h", "now")
        .refresh("30s")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(siblings_link())
        .with_variable(datasource_variable())
        .with_variable(job)
    )


def _link(title: str, url: str, icon: str, tooltip: str) -> dashboard.DashboardLink:
    link = dashboard.DashboardLink(title).type(models.DashboardLinkType.LINK).url(url).icon(icon)
    return link.tooltip(tooltip).target_blank(True)
