"""/metrics in Prometheus' text format, from counters that stay plain numbers in their rooms.

A room offers a function that returns families of what it counts; the daemon collects them here.
The format and the process's own figures are prometheus_client's work, in a registry of its own.
It is loaded only when somebody asks for the first time: an idle daemon stays smaller without.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from attrs import define, field, frozen
from twisted.web.resource import Resource
from twisted.web.server import Request

from dashp2p.web.json import not_allowed

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

SECONDS_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

NO_LABELS: Mapping[str, str] = {}


@frozen
class Family:
    """One metric: name in Prometheus' manner (dashp2p_origin_bytes_total), help, and its values.

    `samples` are pairs of labels and value; all have the same label names, few values each, and
    never an address. A counter's name ends in _total.
    """

    name: str
    help: str
    kind: Literal["counter", "gauge"]
    samples: Sequence[tuple[Mapping[str, str], float]]

    @classmethod
    def of(cls, name: str, help: str, kind: Literal["counter", "gauge"], value: float) -> Family:
        """A metric of one value without labels."""
        return cls(name, help, kind, ((NO_LABELS, value),))


@define
class Histogram:
    """How often a measured value fell below each bound; plain counts, to be offered as a metric."""

    name: str
    help: str
    bounds: tuple[float, ...] = SECONDS_BOUNDS
    total: float = 0.0
    counts: list[int] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


Collect = Callable[[], Iterable["Family | Histogram"]]


class Metrics:
    """All metrics of one daemon."""

    def __init__(self, *collectors: Collect) -> None:
        self._collectors = list(collectors)
        self._registry: CollectorRegistry | None = None

    def add(self, collect: Collect) -> None:
        """Ask this function too, at each request for the metrics."""
        self._collectors.append(collect)

    def render(self) -> bytes:
        """The text that Prometheus reads."""
        from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

        if self._registry is None:
            self._registry = CollectorRegistry(auto_describe=False)
            ProcessCollector(registry=self._registry)
            self._registry.register(self)
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """For prometheus_client: the families of all collectors."""
        for collect in self._collectors:
            for family in collect():
                yield _histogram(family) if isinstance(family, Histogram) else _metric(family)

    def describe(self) -> Iterable[Metric]:
        """For prometheus_client: nothing is known before it is collected."""
        return ()


def _metric(family: Family) -> Metric:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    names = list(family.samples[0][0]) if family.samples else []
    metric = make(family.name, family.help, labels=names)
    for labels, value in family.samples:
        metric.add_metric([labels[name] for name in names], value)
    return metric


def _histogram(histogram: Histogram) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    buckets: list[tuple[str, float]] = []
    so_far = 0
    bounds = [f"{bound:g}" for bound in histogram.bounds] + ["+Inf"]
    for bound, count in zip(bounds, histogram.counts, strict=True):
        so_far += count
        buckets.append((bound, so_far))
    return HistogramMetricFamily(
        histogram.name, histogram.help, buckets=buckets, sum_value=histogram.total
    )


def metrics_body(request: Request, metrics: Metrics) -> bytes:
    """The bytes of a /metrics response; guard the route with dashp2p.web.private."""
    from prometheus_client import CONTENT_TYPE_LATEST

    request.setHeader(b"Content-Type", CONTENT_TYPE_LATEST.encode("ascii"))
    request.setHeader(b"Cache-Control", b"no-store")
    return metrics.render()


class MetricsResource(Resource):
    """The resource of /metrics; put it behind dashp2p.web.private.PrivateResource."""

    isLeaf = True

    def __init__(self, metrics: Metrics) -> None:
        Resource.__init__(self)
        self._metrics = metrics

    def render(self, request: Request) -> bytes:
        if request.method not in (b"GET", b"HEAD"):
            return not_allowed(request, "GET", "HEAD")
        return metrics_body(request, self._metrics)
