"""Figures for Prometheus: what was asked and answered, the gateway's own share, and each provider's state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from beacon.domain.answer import Answer, Outcome
from beacon.router.health import ProviderState
from beacon.router.router import Router

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SHARES = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0)


class Metrics:
    """Labels are names of the fleet and Beacon's own words: never what a client or a provider wrote."""

    def __init__(self, router: Router) -> None:
        self._registry = CollectorRegistry()
        self._outcomes: Counter[tuple[str, str, str, str]] = Counter()
        self._refused: Counter[str] = Counter()
        self._share = Histogram(
            "beacon_gateway_overhead_seconds",
            "The gateway's own share of the time of a request",
            buckets=_SHARES,
            registry=self._registry,
        )
        self._registry.register(_Counted(self._outcomes, self._refused))
        self._registry.register(_Providers(router))

    def count(self, provider: str, region: str, model: str, outcome: Outcome) -> None:
        told = "answered" if isinstance(outcome, Answer) else outcome.kind.value
        self._outcomes[provider, region, model, told] += 1

    def refuse(self, code: str) -> None:
        self._refused[code] += 1

    def share(self, ms: float) -> None:
        self._share.observe(ms / 1000)

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Counted(Collector):
    """Counts kept as plain numbers: a request counts in less than a microsecond."""

    def __init__(self, outcomes: Counter[tuple[str, str, str, str]], refused: Counter[str]) -> None:
        self._outcomes = outcomes
        self._refused = refused

    def collect(self) -> Iterable[Metric]:
        told = "Inferences by outcome: answered, or the kind of failure"
        labels = ("provider", "region", "model", "outcome")
        outcomes = CounterMetricFamily("beacon_gateway_inferences", told, labels=labels)
        for names, number in self._outcomes.items():
            outcomes.add_metric(names, number)
        told = "Requests refused before a provider was asked"
        refused = CounterMetricFamily("beacon_gateway_refused", told, labels=("code",))
        for code, number in self._refused.items():
            refused.add_metric((code,), number)
        return outcomes, refused


class _Providers(Collector):
    """Read when somebody asks."""

    def __init__(self, router: Router) -> None:
        self._router = router

    def collect(self) -> Iterable[Metric]:
        labels = ("provider", "region")
        in_flight = GaugeMetricFamily("beacon_provider_in_flight", "Inferences at the provider now", labels=labels)
        limit = GaugeMetricFamily("beacon_provider_limit", "How many it may have at once", labels=labels)
        waiting = GaugeMetricFamily("beacon_provider_waiting", "Inferences that wait for a slot", labels=labels)
        state = GaugeMetricFamily("beacon_provider_state", "1 for the state it is in", labels=(*labels, "state"))
        for told in self._router.snapshot():
            name = (told.name, told.region)
            in_flight.add_metric(name, told.in_flight)
            limit.add_metric(name, told.limit)
            waiting.add_metric(name, told.waiting)
            for each in ProviderState:
                state.add_metric((*name, each.value), float(told.state is each))
        return in_flight, limit, waiting, state
