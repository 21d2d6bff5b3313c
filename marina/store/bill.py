"""A software bill of materials for an archive, in CycloneDX's JSON: what its worker imports, whose weights it carries."""

from __future__ import annotations

import hashlib
import platform
import re
import uuid
from collections.abc import Iterable
from importlib.metadata import Distribution
from typing import TYPE_CHECKING, Any

from marina.paths import Store
from marina.store.index import Bill, Entry, Weights
from marina.store.installed import licence_of, name_of, packages_of

if TYPE_CHECKING:  # at run time it takes half a second, which a look at what is there must not
    from cyclonedx.model import HashType
    from cyclonedx.model.component import Component

NAMESPACE = uuid.UUID("6f1b1d1e-5b0c-5d5e-9c1f-0a4de0c1a7b5")  # of our bills: the same archive has the same number


def write_bill(store: Store, model: str, version: str, entry: Entry, files: Iterable[str]) -> Entry:
    """Put an archive's bill into the store, by a name of its own, and its digest into the entry.

    Args:
        store: whose ``sboms`` it goes to.
        model: the archive's.
        version: the archive's.
        entry: of the archive.
        files: of modules and libraries that a worker of the archive used.
    """
    packages = [
        one for one in packages_of(files) if name_of(one) != "marina"
    ]  # Python starts with its finder; no archive needs it
    text = bill_of(model, version, entry, packages).encode()
    digest = hashlib.sha256(text).hexdigest()
    bill = Bill(file=f"{model}-{version}-{digest[:8]}.cdx.json", sha256=digest)
    store.sboms.mkdir(exist_ok=True)
    partial = store.sboms / f".{bill.file}.partial"
    partial.write_bytes(text)
    partial.replace(store.sboms / bill.file)
    return entry.model_copy(update={"bill": bill})


def drop_old_bills(store: Store, model: str, version: str, entry: Entry) -> None:
    """Remove the bills of a version's earlier archives."""
    pattern = re.compile(re.escape(f"{model}-{version}-") + r"[0-9a-f]{8}\.cdx\.json")
    for path in store.sboms.iterdir():
        if pattern.fullmatch(path.name) and entry.bill and path.name != entry.bill.file:
            path.unlink(missing_ok=True)


def bill_of(model: str, version: str, entry: Entry, packages: Iterable[Distribution]) -> str:
    """The bill as JSON; the same entry and packages give the same text: it bears no time.

    Args:
        model: the archive's.
        version: the archive's.
        entry: of the archive.
        packages: which a worker of the archive imported from, or loaded libraries of.
    """
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.output.json import JsonV1Dot6

    served = Component(
        name=model,
        version=version,
        type=ComponentType.MACHINE_LEARNING_MODEL,
        bom_ref=f"model:{model}@{version}",
        hashes=[_sha256(entry.sha256)],
        properties=[Property(name="marina:archive", value=entry.archive), Property(name="marina:runtime", value=entry.runtime)],
    )
    python = Component(name="python", version=platform.python_version(), type=ComponentType.PLATFORM, bom_ref="python")
    parts = [_weights(entry.weights), _kit(entry), python, *map(_package, packages)]
    bom = Bom(components=parts, serial_number=uuid.uuid5(NAMESPACE, entry.sha256))
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the schema asks for none
    bom.metadata.component = served
    bom.register_dependency(served, parts)
    return JsonV1Dot6(bom).output_as_string(indent=2) + "\n"


def _kit(entry: Entry) -> Component:
    from cyclonedx.model.component import Component

    kit = Component(name="handlerkit", bom_ref="handlerkit", licenses=_licences("Apache-2.0"))
    if entry.origin:
        kit.version = entry.origin.marina
        kit.hashes.add(_sha256(entry.origin.kit_sha256))
    return kit


def _weights(weights: Weights) -> Component:
    from cyclonedx.model import ExternalReference, ExternalReferenceType, Property, XsUri
    from cyclonedx.model.component import Component, ComponentType

    found = Component(
        name=weights.name,
        type=ComponentType.DATA,
        bom_ref="weights",
        hashes=[_sha256(weights.sha256)],
        properties=[Property(name="marina:weights", value=weights.source)],
        licenses=_licences(weights.licence),
    )
    if weights.origin and "://" in weights.origin and " " not in weights.origin:
        source = ExternalReference(type=ExternalReferenceType.DISTRIBUTION, url=XsUri(weights.origin))
        found.external_references.add(source)
    elif weights.origin:
        found.description = weights.origin
    return found


def _package(package: Distribution) -> Component:
    from cyclonedx.model.component import Component
    from packageurl import PackageURL

    name = name_of(package)
    return Component(
        name=name,
        version=package.version,
        bom_ref=f"{name}@{package.version}",
        purl=PackageURL("pypi", name=name, version=package.version),
        licenses=_licences(licence_of(package)),
    )


def _licences(text: str | None) -> list[Any]:
    from cyclonedx.contrib.license.factories import LicenseFactory

    return [LicenseFactory().make_from_string(text)] if text else []


def _sha256(digest: str) -> HashType:
    from cyclonedx.model import HashAlgorithm, HashType

    return HashType(alg=HashAlgorithm.SHA_256, content=digest)
