"""Measure how many answers a second a model gives, and how soon, under a load of real requests; or compare two."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from marina.console import err, out, run, step
from marina.errors import UsageError
from marina.gateway.keys import keys_file, read_keys
from marina.measuring.asking import Asked, Place, payloads_of, tried
from marina.measuring.comparing import interleaved
from marina.measuring.curve import curve
from marina.measuring.load import Load, require_locust
from marina.measuring.measurement import Measurement
from marina.measuring.showing import comparison_table, in_milliseconds, measurements_table, ratios_of, warnings_of
from marina.serving.access_options import access_of, add_access
from marina.serving.inference import Route
from marina.serving.ports import Ports, read_ports

CLOSED_CONNECTIONS, OPEN_CONNECTIONS = 16, 256
START_SECONDS = 1.5  # of a generator's process


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    ports = read_ports()
    options = argparse.ArgumentParser(description=__doc__, epilog="What the figures mean: docs/performance.md.")
    options.add_argument("model", nargs="?", help="its name, or the path of its spec")
    options.add_argument("--version", help="ask this version (the default one, or by the gateway's split)")
    options.add_argument(
        "--compare", nargs=2, metavar="MODEL/VERSION", help="measure two in turn, and say how many times the first the second is"
    )
    options.add_argument(
        "--requests", metavar="PATH", help="a file, or a folder of files to send (the sample of the model's spec)"
    )
    options.add_argument("--explain", action="store_true", help="ask for explanations in place of predictions")
    _add_load(options)
    options.add_argument(
        "--picture", type=Path, metavar="FILE", help="draw the curve of several rates or connections: .png, .svg, .pdf"
    )
    options.add_argument("--json", action="store_true", help="print a JSON object")
    options.add_argument(
        "--by-gateway", action="store_true", help=f"ask the gateway, at {_gateway(ports)}, in place of TorchServe"
    )
    options.add_argument("--gateway-keys", type=Path, metavar="FILE", help="the gateway's keys, of which the first is sent")
    add_access(options, ports)
    return options


def _add_load(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "--connections",
        type=_numbers(int),
        metavar="N[,N…]",
        help=f"kept alive; each sends when it has its answer ({CLOSED_CONNECTIONS}); with a rate, the most ({OPEN_CONNECTIONS})",
    )
    options.add_argument(
        "--rate",
        "--rates",
        type=_numbers(float),
        metavar="R[,R…]",
        help="requests a second, sent when they are due (an open loop)",
    )
    options.add_argument("--seconds", type=float, default=10.0, help="that each load is measured (%(default)g)")
    options.add_argument("--warm-up", type=float, default=2.0, metavar="SECONDS", help="of each load, before (%(default)g)")
    options.add_argument("--rounds", type=int, default=6, help="of a comparison; 6 are needed for 95 %% (%(default)s)")


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _benchmark(parser().parse_args(argv)))


def _benchmark(options: argparse.Namespace) -> int:
    loads = _checked(options)
    return _compare(options, loads[0]) if options.compare else _measure(options, loads)


def _checked(options: argparse.Namespace) -> list[Load]:
    """The loads; nothing has been asked yet."""
    require_locust()
    loads = _loads(options)
    if bool(options.model) == bool(options.compare):
        raise UsageError("required a model, or two with --compare; found " + ("both" if options.model else "neither"))
    if options.compare and (len(loads) > 1 or options.picture or options.version):
        raise UsageError("--compare takes one load, and versions as MODEL/VERSION: no --version, --picture, or several rates")
    if options.compare and options.compare[0] == options.compare[1]:
        raise UsageError(f"--compare takes two different ones; found {options.compare[0]} twice")
    if options.rounds < 1:
        raise UsageError(f"--rounds must be 1 or more; found {options.rounds}")
    if options.picture and len(loads) < 2:
        raise UsageError("--picture draws a curve: give several, such as --rates 10,20,50,100 or --connections 1,4,16")
    if options.picture:
        from marina.measuring.picture import checked_picture

        checked_picture(options.picture)
    return loads


def _loads(options: argparse.Namespace) -> list[Load]:
    timed = {"seconds": options.seconds, "warm_up_seconds": options.warm_up}
    if options.rate is None:
        return [Load(one, None, **timed) for one in options.connections or [CLOSED_CONNECTIONS]]
    if options.connections and len(options.connections) > 1:
        raise UsageError("several rates, or several numbers of connections, not both")
    (most,) = options.connections or [OPEN_CONNECTIONS]
    return [Load(most, rate, **timed) for rate in options.rate]


def _measure(options: argparse.Namespace, loads: list[Load]) -> int:
    asked = _asked(options, options.model, options.version)
    _announce(loads)
    found = curve(lambda load: _said(load, asked.measure), loads)
    if options.json:
        out.print_json(data=_document(asked) | {"measurements": [one.document() for one in found.measurements]})
    else:
        out.print(measurements_table(found.measurements))
    code = _ended(found.measurements)
    if options.picture:
        from marina.measuring.picture import draw

        draw(found, asked.name, options.picture)
    return code


def _compare(options: argparse.Namespace, load: Load) -> int:
    first, second = (_asked(options, *_split(one)) for one in options.compare)
    _announce([load] * 2 * options.rounds)
    cases = {one.name: (lambda one=one: _said(load, one.measure, f"{one.name}: ")) for one in (first, second)}
    rounds = interleaved(cases, options.rounds)
    code = _ended([one for found in rounds.measurements.values() for one in found])
    if options.json:
        ratios = {name: vars(found) for name, found in ratios_of(rounds, first.name, second.name).items()}
        measured = {name: [one.document() for one in found] for name, found in rounds.measurements.items()}
        out.print_json(
            data={"of": second.name, "to": first.name, "rounds": options.rounds, "ratios": ratios, "measurements": measured}
        )
    else:
        out.print(comparison_table(rounds, first.name, second.name))
    return code


def _asked(options: argparse.Namespace, model: str, version: str | None) -> Asked:
    """What is measured, once it has answered one request."""
    access = access_of(options)
    address = _gateway(read_ports()) if options.by_gateway else options.inference
    key = _key(options)
    place = Place(address, access, {"Authorization": f"Bearer {key}"} if key else {})
    route: Route = "explanations" if options.explain else "predictions"
    name, payloads = payloads_of(model, options.requests)
    return tried(place, name, version, payloads, route)


def _key(options: argparse.Namespace) -> str | None:
    """The first of the gateway's keys, where there are any; they are sent to nobody else."""
    file = options.gateway_keys or (keys_file(None, os.environ, Path.cwd()) if options.by_gateway else None)
    keys = read_keys(file, os.environ) if options.by_gateway or file else []
    return keys[0].text if keys else None


def _split(written: str) -> tuple[str, str | None]:
    """A model and its version, of MODEL or MODEL/VERSION."""
    model, _, version = written.partition("/")
    return model, version or None


def _announce(loads: list[Load]) -> None:
    seconds = sum(load.seconds + load.warm_up_seconds + START_SECONDS for load in loads)
    step(f"{len(loads)} loads, some {seconds:.0f} s" if len(loads) > 1 else f"one load, some {seconds:.0f} s")


def _said(load: Load, measure: Callable[[Load], Measurement], name: str = "") -> Measurement:
    """Measure, and say what on stderr."""
    found = measure(load)
    p50, p99 = (found.percentile(p) for p in (50, 99))
    step(f"{name}{found.load}: {found.throughput:.4g} answers/s, p50 {in_milliseconds(p50)} ms, p99 {in_milliseconds(p99)} ms")
    return found


def _ended(measurements: list[Measurement]) -> int:
    for text in warnings_of(measurements):
        err.print(f"warning: {text}", markup=False)
    return 0 if all(one.latencies.size for one in measurements) else 1


def _document(asked: Asked) -> dict[str, Any]:
    return {"model": asked.model, "version": asked.version, "address": asked.place.address, "requests": len(asked.requests)}


def _gateway(ports: Ports) -> str:
    return f"http://127.0.0.1:{ports.gateway_port}"


def _numbers(kind: type[int] | type[float]) -> Callable[[str], list[float]]:
    """An option's ``type``: numbers with commas between them."""

    def numbers(text: str) -> list[float]:
        try:
            return [kind(one) for one in text.split(",")]
        except ValueError:
            what = "whole numbers" if kind is int else "numbers"
            raise argparse.ArgumentTypeError(f"required {what} with commas between them; found {text!r}") from None

    return numbers


if __name__ == "__main__":
    sys.exit(main())
