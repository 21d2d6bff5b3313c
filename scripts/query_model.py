"""Ask a model: predictions and explanations for files, folders, addresses or standard input."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from rich.table import Table

from marina.console import out, run
from marina.errors import MarinaError, UsageError
from marina.serving.access import Access
from marina.serving.access_options import access_of, add_access
from marina.serving.inference import Answer, Inference, Route
from marina.serving.management import Management, Refused
from marina.serving.payloads import Payload, read_payloads
from marina.serving.ports import read_ports

SHADES = " ░▒▓█"
STRONGEST = 10


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    options = argparse.ArgumentParser(description=__doc__)
    ports = read_ports()
    options.add_argument("model", help="its name")
    options.add_argument("source", nargs="+", help="a file, a folder, an http(s) address, or - for standard input")
    which = options.add_mutually_exclusive_group()
    which.add_argument("--version", help="ask this version (the default one)")
    which.add_argument("--all-versions", action="store_true", help="ask every registered version, side by side")
    options.add_argument("--explain", action="store_true", help="ask for an explanation in place of a prediction")
    options.add_argument("--json", action="store_true", help="print a JSON list of all answers")
    add_access(options, ports)
    return options


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    return run(lambda: _query(parser().parse_args(argv)))


def _query(options: argparse.Namespace) -> int:
    if options.source.count("-") > 1:
        raise UsageError("standard input can be read once: give - once")
    access = access_of(options)
    inference = Inference(options.inference, access)
    route: Route = "explanations" if options.explain else "predictions"
    versions = _versions(options, access)
    payloads = [payload for source in options.source for payload in read_payloads(source)]
    asked = [(payload, version) for payload in payloads for version in versions]
    answers = [
        (payload, inference.ask(options.model, payload.content, version, route, payload.headers)) for payload, version in asked
    ]
    if options.json:
        out.print_json(data=[_document(payload, answer) for payload, answer in answers])
    elif options.explain:
        _show_explanations(answers)
    else:
        _show_predictions(answers)
    return 0 if all(answer.error is None for _, answer in answers) else 1


def _versions(options: argparse.Namespace, access: Access) -> list[str | None]:
    if not options.all_versions:
        return [options.version]
    try:
        return list(Management(options.management, access).versions(options.model))
    except Refused as error:
        raise MarinaError(f"{error}; see scripts/register_model.py list") from error


def _document(payload: Payload, answer: Answer) -> dict[str, Any]:
    document = {"source": payload.name, "version": answer.version, "status": answer.status, "seconds": round(answer.seconds, 4)}
    return document | ({"error": answer.error} if answer.error is not None else {"answer": answer.body})


def _show_predictions(answers: list[tuple[Payload, Answer]]) -> None:
    table = Table("source", "version", "label", "probability", "then", "ms", box=None, pad_edge=False)
    for payload, answer in answers:
        table.add_row(payload.name, answer.version or "-", *_prediction(answer), f"{answer.seconds * 1000:.0f}")
    out.print(table)


def _prediction(answer: Answer) -> tuple[str, str, str]:
    if answer.error is not None:
        return f"{answer.status}", "", answer.error
    listed = answer.body.get("classes") if isinstance(answer.body, dict) else answer.body
    classes = listed if isinstance(listed, list) else []
    if not classes or not all(isinstance(one, dict) and "label" in one and "probability" in one for one in classes):
        return "", "", str(answer.body)[:80]  # not a classifier of ours
    best, *rest = classes
    return best["label"], f"{best['probability']:.1%}", ", ".join(f"{one['label']} {one['probability']:.1%}" for one in rest[:2])


def _show_explanations(answers: list[tuple[Payload, Answer]]) -> None:
    for payload, answer in answers:
        if answer.error is not None:
            out.print(f"{payload.name}: {answer.status}: {answer.error}", markup=False)
            continue
        out.print(f"{payload.name}: version {answer.version}: {_explained(answer.body)}", markup=False)
        out.print(_reasons(answer.body), markup=False)


def _explained(body: dict[str, Any]) -> str:
    """What an explanation is of, and the method."""
    what = f"{body['label']} {body['probability']:.1%}" if "label" in body else ""
    what = what or " ".join(f"{name} {body[name]}" for name in ("similarity", "value") if name in body)
    return f"{what}, {body['method']}"


def _reasons(body: dict[str, Any]) -> str:
    """An image's map as shades; else the strongest tokens, or features, with their weights."""
    if isinstance(body.get("attributions"), list):
        return _picture(body["attributions"])
    weights = [(one["token"], one["weight"]) for one in body.get("tokens", [])] or list(body.get("attributions", {}).items())
    strongest = sorted(weights, key=lambda pair: -abs(pair[1]))[:STRONGEST]
    return "\n".join(f"  {weight:+.4f}  {name}" for name, weight in strongest)


def _picture(attributions: list[list[float]]) -> str:
    """What speaks for the class, as shades: the darker, the more."""
    largest = max((value for line in attributions for value in line), default=0) or 1
    shade = [[SHADES[round(max(value, 0) / largest * (len(SHADES) - 1))] for value in line] for line in attributions]
    return "\n".join("  " + "".join(2 * one for one in line) for line in shade)


if __name__ == "__main__":
    sys.exit(main())
