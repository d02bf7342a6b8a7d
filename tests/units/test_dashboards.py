"""The dashboards ask for what there is; Grafana serves this machine alone.  `pytest tests/units/test_dashboards.py`"""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from lambdas.metrics.catalogue import METRICS
from operations.grafana import FILES

PROMETHEUS, CLOUDWATCH = (
    json.loads((FILES / "dashboards" / name).read_text()) for name in ("slipway.json", "slipway-cloudwatch.json")
)
SCRAPED = {"job", "stage", "instance"}  # the labels that prometheus.yml adds to every series
OWN = {"up": SCRAPED, "scrape_duration_seconds": SCRAPED}  # https://prometheus.io/docs/concepts/jobs_instances/
WORDS = {"sum", "min", "max", "by", "or", "rate", "increase", "vector", "histogram_quantile"}

# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/step-functions/latest/dg/procedure-cw-metrics.html
AWS = {
    "AWS/ApiGateway": ({"Count", "4XXError", "5XXError", "Latency", "IntegrationLatency"}, {"ApiName"}),
    "AWS/Lambda": ({"Invocations", "Errors", "Duration", "Throttles", "ConcurrentExecutions"}, {"FunctionName"}),
    "AWS/States": (
        {"ExecutionsStarted", "ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted", "ExecutionTime"},
        {"StateMachineArn"},
    ),
    "Slipway": (
        {
            "WorkflowFailures",
            "JobFailures",
            "BlockedQueues",
            "QueueAgeSeconds",
            "EndpointErrors",
            "EndpointLatencyMilliseconds",
        },
        {"stage"},
    ),
}
UNITS = {"none", "short", "s", "ms", "percentunit", "reqps", "cpm"}  # of Grafana's own, by id
STATISTIC = re.compile(r"Sum|Average|Minimum|Maximum|SampleCount|p\d{1,2}")


def panels(dashboard: dict[str, Any]) -> list[dict[str, Any]]:
    """The panels that show something: all but the headings of rows."""
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def targets(dashboard: dict[str, Any]) -> list[Any]:
    return [
        pytest.param(target, id=f"{panel['title']} {target['refId']}")
        for panel in panels(dashboard)
        for target in panel["targets"]
    ]


def emitted() -> dict[str, set[str]]:
    """Every sample that a scrape brings, with its labels."""
    found = {name: {*labels} for name, labels in OWN.items()}
    for name, metric in METRICS.items():
        labels = {*metric.labels} | SCRAPED
        match metric.kind:
            case "counter":
                found[f"{name}_total"] = labels
            case "gauge":
                found[name] = labels
            case "histogram":
                found |= {f"{name}_bucket": labels | {"le"}, f"{name}_sum": labels, f"{name}_count": labels}
    return found


def selectors(query: str) -> list[tuple[str, dict[str, str]]]:
    """The series that a query selects: each name with what its labels must be."""
    found = re.findall(r"([a-z_]+)\{([^{}]*)\}", query)
    return [(name, dict(re.findall(r'(\w+)="([^"]*)"', matchers))) for name, matchers in found]


@pytest.mark.parametrize("target", targets(PROMETHEUS))
def test_a_query_asks_for_metrics_and_labels_that_the_platform_emits(target: dict[str, Any]) -> None:
    query = target["expr"]
    known = emitted()
    asked = selectors(query)
    assert asked
    for name, matchers in asked:
        assert name in known
        assert {*matchers} <= known[name]
        assert matchers["job"] == "slipway" and matchers["stage"] == "$stage", "other services, other stages"
    labels = set.intersection(*(known[name] for name, _ in asked))
    grouped = {label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")}
    assert grouped <= labels
    aggregated = re.search(r"\b(sum|min|max)\b", query)
    assert {*re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])} <= (grouped if aggregated else labels)
    rest = re.sub(r"[a-z_]+\{[^{}]*\}|by \([^)]*\)|\[[^\]]*\]", "", query)
    assert {*re.findall(r"[a-z_]+", rest)} <= WORDS, "a metric without job and stage, or a function not known here"


@pytest.mark.parametrize("target", targets(PROMETHEUS))
def test_what_only_grows_is_shown_as_a_rate_and_what_goes_up_and_down_as_it_is(target: dict[str, Any]) -> None:
    for name, _ in selectors(target["expr"]):
        grows = name.endswith(("_total", "_bucket", "_sum", "_count")) and name != "endpoint_count"
        rated = re.search(rf"(rate|increase)\({name}\{{[^}}]*\}}\[(\$__rate_interval|1h)\]\)", target["expr"])
        assert bool(rated) == grows, name
        assert name.endswith("_bucket") == ("histogram_quantile" in target["expr"])


def test_every_metric_of_the_platform_is_on_the_dashboard() -> None:
    shown = {name for target in targets(PROMETHEUS) for name, _ in selectors(target.values[0]["expr"])}
    missing = {name for name in METRICS if not any(sample == name or sample.startswith(f"{name}_") for sample in shown)}
    assert missing == set()


@pytest.mark.parametrize("target", targets(CLOUDWATCH))
def test_a_query_of_cloudwatch_asks_for_metrics_that_aws_documents_or_the_platform_emits(
    target: dict[str, Any],
) -> None:
    assert target["region"] == "default" and target["queryMode"] == "Metrics" and target["metricQueryType"] == 0
    if target["metricEditorMode"] == 1:
        found = re.fullmatch(
            r"SEARCH\('\{([^,]+),(\w+)\} MetricName=\"(\w+)\"(?: (\w+)=slipway \4=\$stage)?', "
            r"'(\w+)', \$__period_auto\)",
            target["expression"],
        )
        assert found, "a form that is not known here"
        namespace, dimension, name, searched, statistic = found.groups()
        dimensions = {dimension}
        assert searched in (dimension, None)
    else:
        namespace, name, statistic = target["namespace"], target["metricName"], target["statistic"]
        dimensions = {*target["dimensions"]}
        assert all("$stage" in value for value in target["dimensions"].values())
    assert name in AWS[namespace][0]
    assert dimensions == AWS[namespace][1]
    assert STATISTIC.fullmatch(statistic)


def test_every_metric_of_our_own_namespace_is_shown() -> None:
    shown = {
        found["metricName"] for target in targets(CLOUDWATCH) if (found := target.values[0])["namespace"] == "Slipway"
    }
    assert shown == AWS["Slipway"][0]


@pytest.mark.parametrize("dashboard", [PROMETHEUS, CLOUDWATCH], ids=lambda dashboard: dashboard["uid"])
def test_grafanas_own_types_know_every_field_of_a_dashboard(dashboard: dict[str, Any]) -> None:
    register_default_plugins()  # the types of panels' options and of data sources' queries
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard)))
    assert list(lost(dashboard, read)) == []
    misspelt = json.loads(json.dumps(dashboard).replace('"showPoints"', '"showPoint"').replace('"refId"', '"refid"'))
    read = json.loads(JSONEncoder().encode(Dashboard.from_json(misspelt)))
    assert {path.rpartition(".")[2] for path in lost(misspelt, read)} >= {"showPoint", "refid"}


def lost(ours: Any, read: Any, path: str = "") -> Iterator[str]:
    """Name what Grafana's types left out or changed when they read it."""
    if isinstance(ours, dict) and isinstance(read, dict):
        for name, value in ours.items():
            if name in read:
                yield from lost(value, read[name], f"{path}.{name}")
            elif name != "definition":  # of a variable: Grafana itself writes it, and no type has it
                yield f"{path}.{name}"
    elif isinstance(ours, list) and isinstance(read, list) and len(ours) == len(read):
        for number, (one, other) in enumerate(zip(ours, read, strict=True)):
            yield from lost(one, other, f"{path}.{number}")
    elif ours != read:
        yield path


@pytest.mark.parametrize("dashboard", [PROMETHEUS, CLOUDWATCH], ids=lambda dashboard: dashboard["uid"])
def test_every_panel_says_what_it_shows_and_in_which_unit(dashboard: dict[str, Any]) -> None:
    for panel in panels(dashboard):
        assert panel["title"] and panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["type"] in {"timeseries", "stat"}, panel["title"]  # of every Grafana from 11 to 13
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), panel["title"]
        sources = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
        assert sources == {"${datasource}"}, "each Grafana has its own"


@pytest.mark.parametrize("dashboard", [PROMETHEUS, CLOUDWATCH], ids=lambda dashboard: dashboard["uid"])
def test_panels_fill_the_page_without_overlap(dashboard: dict[str, Any]) -> None:
    cells: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        taken = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not taken & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= taken
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len({*ids}) == len(ids)


def test_addresses_of_dashboards_and_data_sources_stay() -> None:
    assert [PROMETHEUS["uid"], CLOUDWATCH["uid"]] == ["slipway", "slipway-cloudwatch"]
    assert {dashboard["schemaVersion"] for dashboard in (PROMETHEUS, CLOUDWATCH)} == {
        39
    }  # Grafana 11's, which 13 reads
    sources = yaml.safe_load((FILES / "provisioning/datasources/slipway.yml").read_text())["datasources"]
    assert [(source["uid"], source["type"]) for source in sources] == [
        ("slipway-prometheus", "prometheus"),
        ("slipway-cloudwatch", "cloudwatch"),
    ]
    for dashboard, source in zip((PROMETHEUS, CLOUDWATCH), sources, strict=True):
        assert dashboard["templating"]["list"][0]["query"] == source["type"]
    (provider,) = yaml.safe_load((FILES / "provisioning/dashboards/slipway.yml").read_text())["providers"]
    assert provider["options"]["path"] == "$SLIPWAY_GRAFANA_FILES/dashboards"


def test_grafana_serves_this_machine_alone_and_calls_nobody() -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(FILES / "grafana.ini")
    assert settings["server"]["http_addr"] == "127.0.0.1"
    assert settings["auth.anonymous"]["org_role"] == "Viewer"
    off = [("auth.basic", "enabled"), ("news", "news_feed_enabled"), ("snapshots", "external_enabled")]
    off += [("analytics", name) for name in ("reporting_enabled", "check_for_updates", "check_for_plugin_updates")]
    on = [("security", "disable_gravatar"), ("security", "disable_initial_admin_creation")]
    on += [("plugins", name) for name in ("preinstall_disabled", "public_key_retrieval_disabled")]
    assert [key for key in off if settings.getboolean(*key)] == []
    assert [key for key in on if not settings.getboolean(*key)] == []
