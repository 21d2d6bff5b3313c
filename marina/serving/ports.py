"""Which ports are taken: from the environment, else from ``.env``, else TorchServe's own, and 8000 on for what is ours."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping

import psutil
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from marina import paths
from marina.errors import MarinaError, UsageError

OF_THE_GATEWAY = ("GATEWAY_PORT", "GATEWAY_INTERNAL_PORT", "RECORDER_PORT")
OF_OTHERS = ("EXPORTER_PORT",)  # what runs on by itself


class Ports(BaseSettings):
    """One field for each environment variable of that name, in capitals."""

    model_config = SettingsConfigDict(env_file=paths.ROOT / ".env", extra="ignore", frozen=True)

    inference_port: int = Field(8080, ge=1, le=65535)
    management_port: int = Field(8081, ge=1, le=65535)
    metrics_port: int = Field(8082, ge=1, le=65535)
    grpc_inference_port: int = Field(7070, ge=1, le=65535)
    grpc_management_port: int = Field(7071, ge=1, le=65535)
    gateway_port: int = Field(8000, ge=1, le=65535)
    gateway_internal_port: int = Field(8001, ge=1, le=65535)
    recorder_port: int = Field(8002, ge=1, le=65535)
    exporter_port: int = Field(8003, ge=1, le=65535)

    def by_variable(self) -> Iterator[tuple[str, int]]:
        """Environment variable and port."""
        for name, port in self:
            yield name.upper(), port


def read_ports(written: Mapping[str, int] | None = None) -> Ports:
    """The ports to use.

    Args:
        written: what a config.properties has, by the names of ``Ports``; the environment and .env go before it.

    Raises:
        UsageError: one is no port, or two are the same.
    """
    try:
        ports = Ports()
        ports = Ports.model_validate(
            dict(ports) | {name: port for name, port in (written or {}).items() if name not in ports.model_fields_set}
        )
    except ValidationError as error:
        wrong = error.errors()[0]
        variable = str(wrong["loc"][0]).upper()
        raise UsageError(f"{variable} must be a port, 1 to 65535; found {wrong['input']!r}") from error
    taken: dict[int, str] = {}
    for variable, port in ports.by_variable():
        if port in taken:
            raise UsageError(f"{taken[port]} and {variable} are both {port}: give them different ports")
        taken[port] = variable
    return ports


def require_free(ports: Ports, address: str, *, with_gateway: bool = True) -> None:
    """See that nothing listens on any of the ports that a server takes, and its gateway and recorder where it has them.

    Raises:
        MarinaError: something does; the message says what, and how to move.
    """
    of_others = OF_OTHERS if with_gateway else (*OF_OTHERS, *OF_THE_GATEWAY)
    for variable, port in ports.by_variable():
        if variable not in of_others and not _is_free(address, port):
            raise MarinaError(
                f"port {port} is taken{holder_of(port)}: stop that, or move with {variable}=<port> in the environment or in .env"
            )


def _is_free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def holder_of(port: int) -> str:
    """Who listens on a port, as " by NAME (pid NUMBER)"; nothing where nobody does, or nobody that we may see."""
    try:
        for connection in psutil.net_connections("tcp"):
            at = connection.laddr
            if connection.status == psutil.CONN_LISTEN and at and at.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:  # other users' processes are not ours to see
        pass
    return ""
