"""What the service counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

KIND = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_CROPS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one service, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "posewright_requests", "Requests answered.", ["path", "method", "status"], registry=registry
        )
        self.seconds = Histogram(
            "posewright_request_seconds",
            "Seconds from a request's header to its answer, by path; those that succeeded.",
            ["path"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.rejected = Counter("posewright_rejected", "Requests refused, by reason.", ["reason"], registry=registry)
        self.cancelled = Counter("posewright_cancelled", "Requests whose client went away.", registry=registry)
        self.queue = Gauge("posewright_queue_requests", "Requests accepted and not answered yet.", registry=registry)
        self.crops = Gauge("posewright_waiting_crops", "Crops that wait for the net.", ["model"], registry=registry)
        self.batch = Histogram(
            "posewright_batch_crops", "Crops in one run of the net.", ["model"], buckets=_CROPS, registry=registry
        )
        self.net = Histogram(
            "posewright_net_seconds", "Seconds of one run of the net.", ["model"], buckets=_SECONDS, registry=registry
        )
        self.pictures = Counter("posewright_pictures", "Pictures answered.", ["model"], registry=registry)
        self.poses = Counter("posewright_poses", "Poses answered.", ["model"], registry=registry)
        self.ready = Gauge("posewright_ready", "1 while requests are taken.", registry=registry)

    def page(self) -> bytes:
        """All of them in Prometheus' text format."""
        return generate_latest(self.registry)
