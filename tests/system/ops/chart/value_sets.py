"""Values for the chart: the fewest, all at once, and others in between."""

import copy
from collections.abc import Mapping
from typing import Any

from tests.system.ops.chart.rendering import CHART

Values = dict[str, Any]

SMALLEST: Values = {
    "config": {
        "redis": {"url": "redis://valkey:6379/0"},
        "kafka": {"bootstrap.servers": "kafka:9092"},
        "clocks": {"checkins": {"topics": ["ingest-checkins"], "group": "checkins-consumer"}},
        "api": {"tokens": [{"name": "ops", "scopes": ["admin"]}]},
    },
    "secrets": {"tokens": {"ops": {"name": "clocksvc-tokens", "key": "ops"}}},
}


def with_values(*layers: Mapping[str, Any], base: Mapping[str, Any] = SMALLEST) -> Values:
    """The fewest values with these merged into them."""
    made = copy.deepcopy(dict(base))
    for layer in layers:
        _lay(made, layer)
    return made


def _lay(under: Values, over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(under.get(key), dict):
            _lay(under[key], value)
        else:
            under[key] = copy.deepcopy(value)


def shown(text: str | None = None) -> str:
    """values.yaml with every example: one # is removed from lines that begin with one; lines with two are left out."""
    text = (CHART / "values.yaml").read_text(encoding="utf-8") if text is None else text
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("##")]
    return "\n".join(line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line for line in lines)


SCHEDULED: Values = {"config": {"clocks": {"checkins": {"schedules": {}}}}}
EVERY_OBJECT: Values = {
    **SCHEDULED,
    "serviceMonitor": {"enabled": True},
    "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}, "alertLabels": {"team": "data"}},
    "dashboards": {"enabled": True, "annotations": {"grafana_folder": "clocksvc"}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "hosts": ["clock.example.com"],
        "tls": [{"secretName": "clock-tls", "hosts": ["clock.example.com"]}],
    },
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}], "hostnames": ["clock.example.com"]},
    "networkPolicy": {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "egress": [{"ports": [{"port": 6379}]}, {"ports": [{"port": 9092}]}],
    },
}
SECURED: Values = {
    "config": {
        "redis": {
            "url": "rediss://valkey:6380/0",
            "username": "clocksvc",
            "ssl_ca_file": "/etc/clocksvc/tls/redis/ca.crt",
        },
        "kafka": {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": "clocksvc",
            "ssl.ca.location": "/etc/clocksvc/tls/kafka/ca.crt",
            "message.max.bytes": 1000000,
        },
    },
    "secrets": {
        "redis": {"password": {"name": "redis", "key": "password"}},
        "kafka": {"sasl.password": {"name": "kafka", "key": "password"}},
    },
    "tls": {"redis": {"secret": "redis-tls"}, "kafka": {"configMap": "kafka-ca"}},
    "celeryOverrides": {
        "config": {"redis": {"username": "worker"}, "kafka": {"sasl.username": "worker"}},
        "secrets": {"redis": {"password": {"name": "redis-worker", "key": "password"}}},
    },
}
POOLS: Values = {
    "beats": {
        "shop": {
            "app": "shop",
            "image": {"repository": "registry.example.com/shop", "tag": "7"},
            "scheduler": "clocksvc.celery:ClockScheduler",
            "replicas": 2,
        }
    },
    "workers": {
        "ingest": {
            "app": "shop",
            "image": {"repository": "registry.example.com/shop", "digest": f"sha256:{'a' * 64}"},
            "queues": ["ingest", "ingest-slow"],
            "concurrency": 4,
            "strategy": "Recreate",
            "extraArgs": ["--max-tasks-per-child=1000"],
            "extraEnv": [{"name": "SHOP", "valueFrom": {"secretKeyRef": {"name": "shop", "key": "database"}}}],
            "securityContext": {"readOnlyRootFilesystem": False},
            "podDisruptionBudget": {"enabled": False},
            "nodeSelector": {"pool": "batch"},
        }
    },
}
EVERY_POD: Values = {
    "nameOverride": "timekeeper",
    "image": {"repository": "registry.example.com/clocksvc", "digest": f"sha256:{'b' * 64}", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "registry"}],
    "labels": {"team": "data"},
    "annotations": {"owner": "data@example.com"},
    "pods": {
        "labels": {"cost": "42"},
        "annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "true"},
        "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/mnt/ca/ca.crt"}],
        "extraEnvFrom": [{"configMapRef": {"name": "proxy"}}],
        "extraVolumes": [{"name": "ca", "configMap": {"name": "company-ca"}}],
        "extraVolumeMounts": [{"name": "ca", "mountPath": "/mnt/ca", "readOnly": True}],
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "affinity": {
            "podAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            "topologyKey": "topology.kubernetes.io/zone",
                            "labelSelector": {"matchLabels": {"app": "valkey"}},
                        },
                    }
                ]
            }
        },
        "topologySpreadConstraints": [],
        "priorityClassName": "high",
    },
    "serviceAccount": {"create": False, "name": "clock"},
    "service": {"type": "LoadBalancer", "port": 80},
    "test": {"clocks": ["checkins"], "timeout": "90s"},
}
NO_CELERY: Values = {
    "beats": {"heartbeats": None},
    "workers": {"heartbeats": None},
    "networkPolicy": {"enabled": False},
}
OPEN: Values = {
    "config": {"api": {"tokens": []}},
    "secrets": {"tokens": {"ops": None}},
    "api": {"insecure": True, "replicas": 1},
}
CLUSTERED: Values = {
    "config": {
        "redis": {"cluster": True},
        "celery": {"broker_url": "amqp://rabbitmq:5672//"},
        "clocks": {
            "billing": {
                "topics": ["orders", "payments"],
                "group": "billing",
                "interval": "1h",
                "heartbeat": None,
                "tasks": [
                    {
                        "task": "shop.close",
                        "name": "ingest.close",
                        "catch_up": "last",
                        "max_age": "1h",
                        "arguments": {"region": "eu", "depths": [1, 2]},
                        "application": "billing",
                        "max_attempts": 3,
                        "on_exhaustion": "dead_letter",
                        "processing_deadline": "5m",
                        "expires": 600,
                    },
                    {"task": "send", "name": "ingest.send", "at_most_once": True},
                ],
            }
        },
        "namespaces": {"ingest": {"topic": "tasks"}},
        "route_overrides": {"ingest.errors": "slow"},
        "taskbroker": {"application": "shop", "replicas": {"tasks": 3}},
    }
}
SENTINELS: Values = {
    "config": {"redis": {"url": None, "sentinel": {"service": "mymaster", "nodes": ["a:26379", "b:26379"]}}},
    "secrets": {"redis": {"sentinel": {"password": {"name": "redis", "key": "sentinel"}}}},
}
SECRET_URLS: Values = {
    "config": {"redis": {"url": None}},
    "secrets": {
        "redis": {"url": {"name": "redis", "key": "url"}},
        "celery": {"broker_url": {"name": "mq", "key": "url"}},
    },
}

MATRIX: dict[str, Values] = {
    "smallest": with_values(),
    "every object": with_values(EVERY_OBJECT),
    "secured": with_values(SECURED),
    "pools": with_values(POOLS),
    "every pod": with_values(EVERY_POD),
    "no celery": with_values(NO_CELERY),
    "open": with_values(OPEN, EVERY_OBJECT),
    "cluster": with_values(CLUSTERED),
    "schedules": with_values(SCHEDULED),
    "sentinels": with_values(SENTINELS),
    "secret urls": with_values(SECRET_URLS),
    "all at once": with_values(EVERY_OBJECT, SECURED, POOLS, EVERY_POD),
}
"""The usual ways to set up the chart."""
