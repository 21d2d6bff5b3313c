"""A traffic record whose truth is known: 2.0 is right more often than 1.0, slower, and gets its share in steps."""

from __future__ import annotations

import numpy as np

from marina.comparing.traffic import Traffic, insert
from marina.comparing.traffic_rows import Outcome, Request
from marina.comparing.traffic_tables import agreements

BEGIN = 1_795_000_000.0
HOUR = 3600.0
STEPS = ((0.0, 20.0), (6.0, 50.0))  # hours after the begin, percent of 2.0
REQUESTS, KEYS = 6000, 1500


def tell(traffic: Traffic, model: str = "digits", metric: str = "correct") -> None:
    """Write twelve hours of requests, their outcomes, two events and the comparisons of a shadow."""
    random = np.random.default_rng(5)
    chosen, key = random.random(KEYS), random.integers(KEYS, size=REQUESTS)
    times = BEGIN + 1 + np.sort(random.random(REQUESTS)) * 12 * HOUR
    for hours, percent in STEPS:
        at = BEGIN + hours * HOUR
        traffic.add_split(model, "trial", {"1.0": 100 - percent, "2.0": percent}, at)
        traffic.add_event(model, "rollout", f"2.0 gets {percent:g} % <b>now</b>", at + 120)
    share = np.where(times < BEGIN + 6 * HOUR, 0.2, 0.5)
    treated = chosen[key] < share
    rescued = random.random(REQUESTS) < np.where(treated, 0.01, 0.0)
    seconds = random.lognormal(np.log(np.where(treated, 0.02, 0.012)), 0.3)
    right = random.random(REQUESTS) < np.where(treated, 0.97, 0.85)
    traffic.add_requests(
        [
            Request(
                request_id=f"r{n}",
                time=float(times[n]),
                model=model,
                route="predictions",
                status=200,
                experiment="trial",
                key=f"k{key[n]}",
                key_from="header",
                assigned="2.0" if treated[n] else "1.0",
                answered="2.0" if treated[n] and not rescued[n] else "1.0",
                first_status=503 if rescued[n] else 200,
                seconds=float(seconds[n]),
                attempts=2 if rescued[n] else 1,
                shadow="3.0",
            )
            for n in range(REQUESTS)
        ]
    )
    traffic.add_outcomes(Outcome(f"o{n}", metric, float(right[n]), float(times[n]) + 60, f"r{n}") for n in range(REQUESTS))
    with traffic.writing() as connection:
        insert(connection, agreements, [_agreement(n, float(times[n]), model) for n in range(200)])


def _agreement(number: int, at: float, model: str) -> dict[str, object]:
    """Three of four agree."""
    same = int(number % 4 > 0)
    return {
        "request_id": f"r{number}",
        "shadow": "3.0",
        "kind": "predict",
        "time": at,
        "model": model,
        "live": "1.0",
        "same_label": same,
        "distance": 0.25,
        "live_seconds": 0.004,
        "shadow_seconds": 0.008,
    }
