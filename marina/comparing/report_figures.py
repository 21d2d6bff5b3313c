"""Figures of a report: how arms compare, how keys were shared, how shadows agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from marina.comparing.judging import Asked
from marina.comparing.observing import BUILT_IN, ERROR, LATENCY
from marina.comparing.sample_ratio import SampleRatio
from marina.comparing.traffic import Traffic
from marina.comparing.traffic_rows import Agreement, Observations

MOMENTS = 48  # parts of the time that the split is looked at in
STEPS = 40  # of a distribution
QUANTILES = (0.5, 0.95, 0.99)


@dataclass(frozen=True)
class Latency:
    """How long requests of an arm took: quantiles, and how many fell between one edge and the next, all in milliseconds."""

    p50: float
    p95: float
    p99: float
    edges: list[float]
    counts: list[int]


@dataclass(frozen=True)
class ArmFigures:
    """One arm.

    Attributes:
        version: which.
        weight: percent, in the split of now; None where the record has none.
        keys: that were assigned to it; one that a change of the split moved is in two arms.
        seen: share of the keys that came to it first, 0 to 1; None where nothing was judged.
        intended: the same as the splits shared them when each came.
        requests: that were assigned to it.
        errors: share of its requests that it answered with 500 or above first.
        rescued: requests that another version answered in its place.
        latency: of the requests that it answered; None where there are none.
        means: of each metric of outcomes.
    """

    version: str
    weight: float | None
    keys: int
    seen: float | None
    intended: float | None
    requests: int
    errors: float | None
    rescued: int
    latency: Latency | None
    means: dict[str, float | None]


@dataclass(frozen=True)
class SeenSplit:
    """Shares of the keys that were seen, by arm, in equal parts of the time; None where a part has none."""

    times: list[float]
    shares: dict[str, list[float | None]]


@dataclass(frozen=True)
class ShadowFigures:
    """How a version in the shadow compares with an arm that callers heard."""

    live: str
    shadow: str
    requests: int
    same_label: float | None
    distance: float | None
    live_p50_ms: float | None
    shadow_p50_ms: float | None


@dataclass(frozen=True)
class Requests:
    """The requests that a report is about."""

    traffic: Traffic
    asked: Asked
    experiment: str

    def observe(self, metric: str) -> Observations:
        """A metric's values."""
        return self.traffic.observations(self.asked.model, self.experiment, metric, self.asked.since, self.asked.until)

    def rescued(self) -> dict[str, int]:
        """Requests of each arm that another one answered."""
        return self.traffic.rescued(self.asked.model, self.experiment, self.asked.since, self.asked.until)

    def outcomes(self) -> dict[str, Observations]:
        """The values of each metric of outcomes."""
        known = self.traffic.metrics(self.asked.model, self.experiment)
        return {metric: self.observe(metric) for metric in known if metric not in BUILT_IN}


def arm_figures(asked: Requests, weights: Mapping[str, float], ratio: SampleRatio | None) -> list[ArmFigures]:
    """All arms, the control first.

    Args:
        asked: which requests.
        weights: the split of now, in percent.
        ratio: how keys were shared, where the judge has counted them.
    """
    seen, latency, outcomes, rescued = asked.observe(ERROR), asked.observe(LATENCY), asked.outcomes(), asked.rescued()
    edges = _edges(latency.value)
    versions = {str(arm) for arm in np.unique(seen.assigned)} | set(weights)
    return [
        ArmFigures(
            version=version,
            weight=weights.get(version),
            keys=len(np.unique(seen.key[own])),
            seen=_share(ratio.seen, version) if ratio else None,
            intended=_share(ratio.expected, version) if ratio else None,
            requests=int(np.count_nonzero(own)),
            errors=_mean(seen.value[own]),
            rescued=rescued.get(version, 0),
            latency=_latency(latency.value[latency.assigned == version], edges),
            means={metric: _mean(found.value[found.assigned == version]) for metric, found in outcomes.items()},
        )
        for version in sorted(versions, key=lambda version: (version != asked.asked.control, version))
        for own in [seen.assigned == version]
    ]


def _share(counts: Mapping[str, float], version: str) -> float | None:
    total = sum(counts.values())
    return counts.get(version, 0) / total if total else None


def _mean(values: NDArray[np.float64]) -> float | None:
    return float(values.mean()) if len(values) else None


def _edges(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Edges in milliseconds at equal distances of the logarithm, without the last thousandth on either side."""
    milliseconds = seconds[seconds > 0] * 1000
    if not len(milliseconds):
        return np.array([])
    low, high = np.quantile(milliseconds, [0.001, 0.999])
    return np.geomspace(low / 1.05, high * 1.05, STEPS + 1)


def _latency(seconds: NDArray[np.float64], edges: NDArray[np.float64]) -> Latency | None:
    if not len(seconds) or not len(edges):
        return None
    milliseconds = seconds * 1000
    counts, _ = np.histogram(milliseconds, edges)
    p50, p95, p99 = (float(one) for one in np.quantile(milliseconds, QUANTILES))
    return Latency(p50, p95, p99, edges.tolist(), counts.tolist())


def seen_split(seen: Observations) -> SeenSplit:
    """Shares of the keys by arm, over the time of the requests."""
    edges = np.linspace(seen.time.min(), seen.time.max(), MOMENTS + 1)
    part = np.clip(np.searchsorted(edges, seen.time, side="right") - 1, 0, MOMENTS - 1)
    arms = np.unique(seen.assigned)
    keys = {str(arm): _keys_by_part(seen, part, seen.assigned == arm) for arm in arms}
    total = np.sum(list(keys.values()), axis=0)
    shares = {arm: [float(n / of) if of else None for n, of in zip(count, total, strict=True)] for arm, count in keys.items()}
    return SeenSplit(((edges[:-1] + edges[1:]) / 2).tolist(), shares)


def _keys_by_part(seen: Observations, part: NDArray[np.int64], own: NDArray[np.bool_]) -> NDArray[np.int64]:
    pairs = np.unique(np.stack([part[own], seen.key[own]]), axis=1)
    return np.bincount(pairs[0], minlength=MOMENTS)


def shadow_figures(found: Sequence[Agreement]) -> list[ShadowFigures]:
    """One for each pair of versions that answered the same requests."""
    pairs = sorted({(one.live, one.shadow) for one in found})
    return [_shadow(live, shadow, [one for one in found if (one.live, one.shadow) == (live, shadow)]) for live, shadow in pairs]


def _shadow(live: str, shadow: str, found: Sequence[Agreement]) -> ShadowFigures:
    def mean(values: list[float]) -> float | None:
        return float(np.mean(values)) if values else None

    def median_ms(values: list[float]) -> float | None:
        return float(np.median(values)) * 1000 if values else None

    return ShadowFigures(
        live,
        shadow,
        len(found),
        mean([float(one.same_label) for one in found if one.same_label is not None]),
        mean([one.distance for one in found if one.distance is not None]),
        median_ms([one.live_seconds for one in found if one.live_seconds is not None]),
        median_ms([one.shadow_seconds for one in found if one.shadow_seconds is not None]),
    )
