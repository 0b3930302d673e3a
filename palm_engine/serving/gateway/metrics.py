"""What Prometheus reads: requests, who answered, what users lose, and the gateway's own time."""

from __future__ import annotations

from palm_engine.serving.gateway.portfolio import Decision

SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1.0)
GAPS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


class Metrics:
    """Counters of one gateway."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        self.requests = Counter(
            "palm_requests",
            "Chat requests by HTTP status",
            ["status"],
            registry=self.registry,
        )
        self.answers = Counter(
            "palm_answers",
            "Chat requests by who answered and where the weights came from",
            ["policy", "source"],
            registry=self.registry,
        )
        self.gap = Histogram(
            "palm_gap",
            "Additive gap at a request's weights, against all candidates",
            buckets=GAPS,
            registry=self.registry,
        )
        self.own_time = Histogram(
            "palm_gateway_seconds",
            "Time from a request's last byte to the engine being asked",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.running = Gauge(
            "palm_requests_running", "Chat requests that run now", registry=self.registry
        )
        self.reloads = Counter(
            "palm_reloads", "Bundles taken up anew, or refused", ["result"], registry=self.registry
        )
        self.lookups_failed = Counter(
            "palm_lookups_failed",
            "Profiles that the database could not give; the default answered",
            registry=self.registry,
        )
        self.dropped = Gauge(
            "palm_records_dropped",
            "Requests that the database could not record",
            registry=self.registry,
        )

    def decided(self, decision: Decision, source: str, seconds: float) -> None:
        """Count a decision.

        Args:
            decision: who answers.
            source: of the weights.
            seconds: that the gateway took until the engine is asked.
        """
        self.answers.labels(decision.policy, source).inc()
        self.gap.observe(decision.gap)
        self.own_time.observe(seconds)

    def text(self) -> bytes:
        """The page that Prometheus reads."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
