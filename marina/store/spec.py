"""What a model is, as ``model.yaml`` says it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from marina import paths
from marina.errors import UsageError
from marina.reading import Strict, nearest_of, read_yaml
from marina.store.source_runtimes import check_runtime

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
VERSION = r"^[A-Za-z0-9._-]*[A-Za-z0-9][A-Za-z0-9._-]*$"
METHOD = r"^[A-Za-z_]\w*$"
FILE_NAME = "model.yaml"
KINDS = ("network", "torchvision", "torchscript", "onnx", "export")  # of sources
RANDOM = "random"
GOES_WITH = {
    "weights": ("network", "torchvision"),
    "checkpoint": ("network",),
    "class_": ("network",),
    "arguments": ("network", "torchvision"),
    "prefix": ("network", "torchvision"),
    "safe_globals": ("network", "torchvision"),
}


class Source(Strict):
    """Where a version's network comes from: a Python file, torchvision, or a file that holds a whole network."""

    network: str | None = Field(None, description="Python file beside model.yaml that defines the network as a torch.nn.Module")
    torchvision: str | None = Field(
        None, description="name of a network of torchvision: of classification, detection or segmentation"
    )
    torchscript: str | None = Field(None, description="file of torch.jit.save: a network traced or scripted")
    onnx: str | None = Field(None, description="ONNX file; its external data lie beside it")
    export: str | None = Field(None, description="file of torch.export.save, .pt2")
    weights: str | None = Field(
        None, description="with network or torchvision: a file of a state dict, 'random', or torchvision's name of its weights"
    )
    checkpoint: str | None = Field(None, description="with network: a checkpoint of Lightning, whose hyper-parameters build it")
    class_: str | None = Field(None, alias="class", description="with network: which of the file's classes")
    arguments: dict[str, Any] = Field(
        default_factory=dict, description="with network or torchvision: of its constructor, as num_classes: 10"
    )
    prefix: str | None = Field(None, description="taken off the keys of the weights, as module.; keys without it are left out")
    safe_globals: list[str] = Field(
        default_factory=list, description="classes that reading the weights or the checkpoint may make, as argparse.Namespace"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Source:
        given = [kind for kind in KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(KINDS)}; found {' and '.join(given) or 'none'}")
        self._check_keys()
        if self.network and self.weights and not (self.weights_file or self.is_random):
            raise ValueError(f"'weights' beside 'network' is a file, or random; '{self.weights}' has no suffix")
        return self

    def _check_keys(self) -> None:
        """See that each key beside the source's own has something to say of it."""
        for key, kinds in GOES_WITH.items():
            if getattr(self, key) and self.kind not in kinds:
                raise ValueError(f"'{key.rstrip('_')}' goes with {' or '.join(kinds)}, not with {self.kind}")
        if self.weights and self.checkpoint:
            raise ValueError("'weights' and 'checkpoint' exclude each other")

    @property
    def kind(self) -> str:
        """The key that says where the network comes from."""
        return next(kind for kind in KINDS if getattr(self, kind) is not None)

    @property
    def whole(self) -> str | None:
        """The file that holds the whole network, if it comes from one."""
        return self.torchscript or self.onnx or self.export

    @property
    def is_random(self) -> bool:
        """Whether the spec asks for random weights."""
        return self.weights == RANDOM

    @property
    def weights_file(self) -> str | None:
        """The weights, where they are a file and not the name of weights of torchvision: those have no suffix."""
        return self.weights if self.weights and ("." in self.weights or "/" in self.weights) else None

    @property
    def files(self) -> list[str]:
        """Every file that is named, as it is named."""
        return [name for name in (self.network, self.whole, self.weights_file, self.checkpoint) if name]


class Version(Strict):
    """One version: its network, and how it is run."""

    source: Source = Field(description="where its network comes from")
    runtime: Literal["eager", "torchscript", "export", "aotinductor", "onnx", "openvino"] = Field(
        description="how the network is run: docs/formats.md compares them"
    )
    method: str = Field(
        "forward", pattern=METHOD, description="of the network, that is served; as a LightningModule's predict_step"
    )
    precision: Literal["fp32", "bf16", "int8"] = Field(
        "fp32", description="of its arithmetic; bf16 needs a processor with instructions for it, int8 is calibrated by the build"
    )
    channels_last: bool = Field(False, description="lay images out with their channels last; faster on most CPUs")
    compile: bool = Field(False, description="with runtime eager: torch.compile, when a worker first runs it")
    script: bool = Field(False, description="with runtime torchscript: script the network, which keeps its branches and loops")
    threads: PositiveInt | None = Field(None, description="of one worker; the cores divided by its workers")
    device: Literal["cpu", "cuda"] | None = Field(None, description="what is assigned by TorchServe")
    tolerance: PositiveFloat | None = Field(
        None, description="in place of the spec's; precisions int8 and bf16 have none but this"
    )

    @property
    def called(self) -> str:
        """The method that a worker calls: exporters that do not keep the network's code make a ``forward`` of any."""
        kept = self.runtime == "torchscript" and (self.script or self.source.torchscript)
        return self.method if self.runtime == "eager" or kept else "forward"

    @model_validator(mode="after")
    def _runtime_takes_source(self) -> Version:
        check_runtime(self.source.kind, self.runtime, self.method, self.precision, self.channels_last)
        return self


class TensorSpec(Strict):
    """One input of a network, for one row."""

    shape: list[PositiveInt] = Field(description="of one row, without the batch")
    dtype: Literal["float32", "int64", "uint8"] = Field("float32", description="of its numbers")
    high: PositiveInt = Field(256, description="for whole numbers: examples are below it")
    free: list[NonNegativeInt] = Field(
        default_factory=list, description="positions in shape whose size may vary between requests; shape has an example"
    )

    @model_validator(mode="after")
    def _free_are_positions(self) -> TensorSpec:
        for position in self.free:
            if position >= len(self.shape):
                raise ValueError(f"'free' names position {position}; shape {self.shape} has 0 to {len(self.shape) - 1}")
        return self


class LimitsSpec(Strict):
    """How much one request may ask for."""

    megabytes: PositiveFloat | None = Field(None, description="of one request; more is refused with 413")
    rows: PositiveInt | None = Field(None, description="of one request in KServe's envelopes; more is refused with 413")


class Calibration(Strict):
    """What the int8 versions are calibrated on, and how much they, and those in bf16, may lose."""

    requests: str | None = Field(
        None, description="folder, or pattern as images/*.png, of requests beside model.yaml; else calibration() of 'training'"
    )
    limit: PositiveInt = Field(300, description="most requests to calibrate on; more rarely help")
    agreement: float = Field(
        0.98,
        ge=0,
        le=1,
        description="least share of requests whose best class in int8, or bf16, is the one in fp32; 0 asks for none",
    )
    accuracy_loss: NonNegativeFloat | None = Field(
        None, description="most that the measured accuracy in int8 may be below the one in fp32"
    )


class Sample(Strict):
    """A request that every archive is tried with, and the label it must answer."""

    request: str = Field(description="file beside model.yaml, sent as it is")
    label: str | None = Field(None, description="of its best class; left out where no answer is known")


class WeightsSpec(Strict):
    """Whose weights a model carries, for the index and the bill of materials; torchvision's are known."""

    licence: str | None = Field(None, description="an SPDX expression, as Apache-2.0, or a name")
    origin: str | None = Field(None, description="an address, or from which data they were trained")


class Serving(Strict):
    """How a version is served unless the deployment says otherwise."""

    workers: PositiveInt = Field(1, description="processes that hold the network; the cores are divided among them")
    batch_size: PositiveInt = Field(1, description="most requests that are answered together")
    max_batch_delay_ms: PositiveInt = Field(1, description="how long a request waits for others, in milliseconds")
    response_timeout_s: PositiveInt = Field(120, description="seconds until a worker that does not answer is started anew")


class Spec(Strict):
    """A model: its versions, its handler and what both need."""

    name: str = Field(pattern=NAME, description="of the model, as clients call it")
    description: str = Field(description="one sentence: what the model does")
    handler: str = Field(description="name of a handler in handlers/, or a path of a Python file beside model.yaml")
    options: dict[str, Any] = Field(default_factory=dict, description="of the handler: docs/tasks.md lists them")
    limits: LimitsSpec = Field(LimitsSpec(), description="how much one request may ask for")
    input: list[PositiveInt] | dict[str, TensorSpec] = Field(
        description="shape of the network's input for one row, as [channels, height, width]; or several inputs by name"
    )
    labels: list[str] | str | None = Field(
        None, description="names of the classes by index, or a JSON file of them; torchvision's weights bring their own"
    )
    training: str | None = Field(
        None, description="Python file beside model.yaml with train() and held_out(), and measure() if top1 is none"
    )
    files: list[str] = Field(
        default_factory=list, description="files that the handler reads: beside model.yaml, or package:path in an installed one"
    )
    weights: WeightsSpec = Field(WeightsSpec(), description="whose weights they are")
    sample: Sample | None = Field(
        None,
        description="a request that every archive is tried with; left out where the network has an example_input_array "
        "(tensor_model alone)",
    )
    tolerance: PositiveFloat = Field(1e-4, description="largest difference allowed between the exported and the eager network")
    calibration: Calibration = Field(
        Calibration(), description="what int8 versions are calibrated on, and what reduced precisions may lose"
    )
    serving: Serving = Field(Serving(), description="how versions are served unless config/deployment.yaml says otherwise")
    versions: dict[str, Version] = Field(min_length=1, description="by name, in quotes")

    @field_validator("versions")
    @classmethod
    def _version_names(cls, versions: dict[str, Version]) -> dict[str, Version]:
        for name in versions:
            if not re.match(VERSION, name):
                raise ValueError(f"the version '{name}' may have letters, digits, '.', '_' and '-' alone")
        return versions

    @property
    def tensors(self) -> dict[str, TensorSpec]:
        """The network's inputs by name, in order."""
        return self.input if isinstance(self.input, dict) else {"input": TensorSpec(shape=self.input)}


class SpecFile(Strict):
    """A spec and the folder it was read from."""

    spec: Spec
    folder: Path

    def beside(self, name: str) -> Path:
        """A file that the spec names, beside it.

        Raises:
            UsageError: there is no such file.
        """
        path = self.folder / name
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is no file"
            raise UsageError(f"{self.folder / FILE_NAME}: names {name}, but {path} {what}")
        return path

    @property
    def handler(self) -> Path:
        """The handler's file: beside the spec, or one of ours.

        Raises:
            UsageError: neither exists.
        """
        if self.spec.handler.endswith(".py"):
            return self.beside(self.spec.handler)
        path = paths.HANDLERS / f"{self.spec.handler}.py"
        if not path.is_file():
            known = sorted(file.stem for file in paths.HANDLERS.glob("*.py"))
            raise UsageError(
                f"{self.folder / FILE_NAME}: no handler '{self.spec.handler}': {nearest_of(self.spec.handler, known)}"
            )
        return path

    @property
    def sample(self) -> Sample:
        """The request that archives are tried with.

        Raises:
            UsageError: the spec names none.
        """
        if self.spec.sample is None:
            raise UsageError(f"{self.folder / FILE_NAME}: 'sample' is required, unless the network has an example_input_array")
        return self.spec.sample

    def version(self, name: str) -> Version:
        """A version of the spec.

        Raises:
            UsageError: the spec has none of that name.
        """
        if name not in self.spec.versions:
            raise UsageError(f"{self.spec.name} has no version {name}; it has: {', '.join(self.spec.versions)}")
        return self.spec.versions[name]


def find_spec(name_or_path: str) -> SpecFile:
    """The spec of a name in ``model_store/specs``, or of a path to a folder or a ``model.yaml``.

    Raises:
        UsageError: there is none, or it is wrong.
    """
    path = spec_path(name_or_path)
    if not path.is_file():
        known = sorted(file.parent.name for file in paths.SPECS.glob(f"*/{FILE_NAME}"))
        meant = nearest_of(name_or_path, known)
        raise UsageError(f"no spec '{name_or_path}': {meant}; or give the path of a folder with a {FILE_NAME}")
    return SpecFile(spec=read_yaml(path, Spec), folder=path.parent.resolve())


def spec_path(name_or_path: str) -> Path:
    """Where the ``model.yaml`` of a name or a path is, if there is one."""
    path = Path(name_or_path)
    return path if path.name == FILE_NAME else (path if path.is_dir() else paths.SPECS / name_or_path) / FILE_NAME
