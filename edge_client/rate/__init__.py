"""What the link can carry, and what to send over it. Pure: every event carries its time, there is no clock inside."""

from edge_client.rate.adaptive import AdaptiveOneShot, AdaptiveProgressive
from edge_client.rate.cascade import Cascade
from edge_client.rate.estimator import DeliveryDistribution, LinkEstimator
from edge_client.rate.fixed import FixedFile, FixedPoint
from edge_client.rate.metered import BytesPerDay
from edge_client.rate.points import RatedPoint, RatedPoints
from edge_client.rate.policy import NOTHING, Completed, Event, Link, Plan, Progress, RatePolicy
from edge_client.rate.uplink import Sample, Uplink

__all__ = [
    "NOTHING",
    "AdaptiveOneShot",
    "AdaptiveProgressive",
    "BytesPerDay",
    "Cascade",
    "Completed",
    "DeliveryDistribution",
    "Event",
    "FixedFile",
    "FixedPoint",
    "Link",
    "LinkEstimator",
    "Plan",
    "Progress",
    "RatePolicy",
    "RatedPoint",
    "RatedPoints",
    "Sample",
    "Uplink",
]
