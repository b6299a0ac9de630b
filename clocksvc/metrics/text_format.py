"""Renders samples in Prometheus's text format.

prometheus_client takes several times as long, and blocks the other threads of the process: with 2,000 clocks, each
scrape would delay the leaders by half a second.
"""

from collections.abc import Iterable, Mapping

from prometheus_client.exposition import CONTENT_TYPE_LATEST

from clocksvc.metrics.catalogue import Metric, Reading

CONTENT_TYPE = CONTENT_TYPE_LATEST

_ESCAPED = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


def render(
    catalogue: Iterable[Metric], readings: Iterable[Reading], lines: Mapping[str, Iterable[str]] | None = None
) -> bytes:
    """Return the text of all metrics of a catalogue, in its order.

    Args:
        readings: samples in any order.
        lines: samples that are already text, by the metric's name.
    """
    texts = {metric.name: [_head(metric)] for metric in catalogue}
    for metric, labels, value in readings:
        texts[metric.name].append(sample_line(metric.name, metric.labels, labels, value))
    for name, more in (lines or {}).items():
        texts[name] += more
    return "".join([line for text in texts.values() for line in text]).encode()


def sample_line(name: str, names: tuple[str, ...], labels: tuple[str, ...], value: float) -> str:
    """Return one sample as a line, with its labels in order of their names. `names` are the names of the labels."""
    if not names:
        return f"{name} {float(value)}\n"
    pairs = sorted([f'{label}="{escaped(text)}"' for label, text in zip(names, labels, strict=True)])
    return f"{name}{{{','.join(pairs)}}} {float(value)}\n"


def escaped(text: str) -> str:
    """Return a label's value as it is written between quotes."""
    return text.translate(_ESCAPED)


def _head(metric: Metric) -> str:
    return f"# HELP {metric.name} {metric.help}\n# TYPE {metric.name} {metric.type}\n"
