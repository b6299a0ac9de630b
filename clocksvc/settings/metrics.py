"""What `/metrics` shows. Must not know any metric."""

from clocksvc.settings.fields import Section


class MetricsSettings(Section):
    """`per_partition` False: no series for each partition, for topics that are too wide for that."""

    per_partition: bool = True
