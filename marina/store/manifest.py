"""What an archive says of itself to TorchServe: its ``MAR-INF/MANIFEST.json``, checked before anything believes it."""

from __future__ import annotations

from collections.abc import Collection

from model_archiver.model_packaging_utils import model_handlers
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from marina.errors import MarinaError
from marina.reading import complaints
from marina.store.spec import NAME

MANIFEST = "MAR-INF/MANIFEST.json"
LARGEST_BYTES = 1 << 20
RUNTIMES = ("python", "python3")  # that TorchServe can start


class Model(BaseModel):
    """The manifest's ``model``: strings alone, as the archiver writes them."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    name: str = Field(alias="modelName", pattern=NAME, max_length=128)
    version: str = Field(alias="modelVersion", pattern=NAME, max_length=128)
    handler: str
    serialized_file: str | None = Field(None, alias="serializedFile")
    model_file: str | None = Field(None, alias="modelFile")
    config_file: str | None = Field(None, alias="configFile")
    requirements_file: str | None = Field(None, alias="requirementsFile")

    @property
    def handler_file(self) -> str:
        """The Python file that ``module``, ``module.py`` or ``module:function`` names, unless it is TorchServe's own."""
        return self.handler.partition(":")[0].removesuffix(".py") + ".py"

    @property
    def has_stock_handler(self) -> bool:
        """Whether the handler is one of TorchServe's own, by its name."""
        return self.handler in model_handlers


class Manifest(BaseModel):
    """The whole manifest."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    model: Model
    runtime: str = RUNTIMES[0]


def read_manifest(content: bytes, names: Collection[str]) -> Model:
    """The manifest of an archive whose files are ``names``.

    Raises:
        MarinaError: it is no manifest, TorchServe would not take it, or it names what the archive does not have.
    """
    try:
        manifest = Manifest.model_validate_json(content)
    except ValidationError as error:
        raise MarinaError(f"its {MANIFEST} is not valid: {'; '.join(complaints(error, Manifest))[:300]}") from error
    if manifest.runtime not in RUNTIMES:
        raise MarinaError(f"its manifest names the runtime {manifest.runtime[:40]!r}; TorchServe starts {' and '.join(RUNTIMES)}")
    _check_files(manifest.model, names)
    return manifest.model


def _check_files(model: Model, names: Collection[str]) -> None:
    """See that what the manifest names lies in the archive, at its top, where TorchServe looks for it."""
    module = model.handler_file.removesuffix(".py")
    if not module.isidentifier() and not model.has_stock_handler:
        raise MarinaError(f"its manifest names the handler {model.handler[:80]!r}; required a module's name, without a folder")
    handler = None if model.has_stock_handler else model.handler_file
    for file in (handler, model.serialized_file, model.model_file, model.config_file, model.requirements_file):
        if file is not None and ("/" in file or file not in names):
            raise MarinaError(f"its manifest names {file[:80]}, which the archive does not have")
