"""The schema of all values of the chart, in the order of values.yaml."""

from helm.schema import config
from helm.schema.kubernetes import a, definitions
from helm.schema.shapes import (
    LABELS,
    NAME,
    NUMBER,
    PORT,
    SWITCH,
    TEXT,
    TEXTS,
    Schema,
    closed,
    listed,
    named,
    one_of,
    or_null,
)

_SPAN: Schema = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}
_CLOCK_SPAN: Schema = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h|d)$"}
_ADDRESS: Schema = {"type": "string", "pattern": "^(https?://.*[^/])?$"}
_IMAGE = {
    "repository": TEXT,
    "tag": TEXT,
    "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"},
    "pullPolicy": one_of("Always", "IfNotPresent", "Never"),
}
_POD: dict[str, Schema] = {
    "labels": LABELS,
    "annotations": LABELS,
    "extraEnv": listed(a("EnvVar")),
    "extraEnvFrom": listed(a("EnvFromSource")),
    "extraVolumes": listed(a("Volume")),
    "extraVolumeMounts": listed(a("VolumeMount")),
    "nodeSelector": LABELS,
    "tolerations": listed(a("Toleration")),
    "affinity": a("Affinity"),
    "topologySpreadConstraints": or_null(listed(a("TopologySpreadConstraint"))),
    "priorityClassName": TEXT,
    "podSecurityContext": a("PodSecurityContext"),
    "securityContext": a("SecurityContext"),
}
_BUDGET = closed({"enabled": SWITCH, "maxUnavailable": {"anyOf": [NUMBER, {"type": "string", "pattern": "^[0-9]+%$"}]}})
_DEPLOYMENT = _POD | {
    "replicas": NUMBER,
    "image": closed(_IMAGE),
    "resources": a("ResourceRequirements"),
    "terminationGracePeriodSeconds": NUMBER,
    "podDisruptionBudget": _BUDGET,
}
_CELERY = _DEPLOYMENT | {
    "app": TEXT,
    "minReadySeconds": NUMBER,
    "strategy": one_of("RollingUpdate", "Recreate"),
    "extraArgs": TEXTS,
}
_RELABELING = closed(
    {
        "action": TEXT,
        "sourceLabels": TEXTS,
        "separator": TEXT,
        "targetLabel": TEXT,
        "regex": TEXT,
        "modulus": NUMBER,
        "replacement": TEXT,
    }
)
_PARENT = closed(
    {"group": TEXT, "kind": TEXT, "namespace": TEXT, "name": TEXT, "sectionName": TEXT, "port": PORT}, ["name"]
)


def schema() -> Schema:
    """Return the complete schema."""
    fields = {
        **_naming(),
        "config": config.config(),
        "secrets": config.secrets(tokens=True),
        "tls": named(
            or_null(closed({"secret": TEXT, "configMap": TEXT}) | {"minProperties": 1, "maxProperties": 1}), NAME
        ),
        "celeryOverrides": closed({"config": config.overrides(), "secrets": config.secrets(tokens=False)}),
        "logLevel": one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "pods": closed(_POD),
        "api": closed(_DEPLOYMENT | {"insecure": SWITCH, "preStopSeconds": NUMBER}),
        "scheduler": closed(_DEPLOYMENT | {"enabled": or_null(SWITCH)}),
        "service": closed(
            {"type": one_of("ClusterIP", "NodePort", "LoadBalancer"), "port": PORT, "annotations": LABELS}
        ),
        "beats": named(or_null(closed(_CELERY | {"scheduler": TEXT})), NAME),
        "workers": named(
            or_null(closed(_CELERY | {"queues": TEXTS, "concurrency": NUMBER, "healthFile": SWITCH})), NAME
        ),
        "serviceAccount": closed({"create": SWITCH, "name": TEXT, "annotations": LABELS}),
        **_around(),
        "test": closed({"clocks": TEXTS, "timeout": _CLOCK_SPAN, "token": TEXT}),
        "global": {"type": "object"},
    }
    return {"$schema": "http://json-schema.org/draft-07/schema#", **closed(fields), "definitions": definitions()}


def _naming() -> dict[str, Schema]:
    return {
        "nameOverride": TEXT,
        "fullnameOverride": TEXT,
        "image": closed(_IMAGE),
        "imagePullSecrets": listed(closed({"name": TEXT}, ["name"])),
        "labels": LABELS,
        "annotations": LABELS,
    }


def _around() -> dict[str, Schema]:
    """Return the schemas of network access, monitoring and ingress."""
    return {
        "networkPolicy": closed(
            {
                "enabled": SWITCH,
                "from": listed(a("NetworkPolicyPeer")),
                "egress": listed(a("NetworkPolicyEgressRule")),
            }
        ),
        "pageUrl": _ADDRESS,
        "runbookUrl": _ADDRESS,
        "serviceMonitor": closed(
            {
                "enabled": SWITCH,
                "labels": LABELS,
                "interval": _SPAN,
                "scrapeTimeout": _SPAN,
                "token": TEXT,
                "relabelings": listed(_RELABELING),
                "metricRelabelings": listed(_RELABELING),
            }
        ),
        "prometheusRule": closed({"enabled": SWITCH, "labels": LABELS, "alertLabels": LABELS, "disabled": TEXTS}),
        "dashboards": closed({"enabled": SWITCH, "labels": LABELS, "annotations": LABELS}),
        "ingress": closed(
            {
                "enabled": SWITCH,
                "className": TEXT,
                "annotations": LABELS,
                "hosts": TEXTS,
                "path": TEXT,
                "tls": listed(a("IngressTLS")),
            }
        ),
        "httpRoute": closed(
            {
                "enabled": SWITCH,
                "annotations": LABELS,
                "parentRefs": listed(_PARENT),
                "hostnames": TEXTS,
                "timeout": _SPAN,
            }
        ),
    }
