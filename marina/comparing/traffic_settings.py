"""What the environment, or ``.env``, says of the traffic record."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict

from marina import paths


class TrafficSettings(BaseSettings):
    """One field for each variable of that name, in capitals, as it is written.

    Attributes:
        traffic_database: where it is, where that is not the state's folder; may have a password.
        traffic_keep: after which time rows are deleted.
        traffic_sample: the share of the keys whose requests are recorded.
    """

    model_config = SettingsConfigDict(env_file=paths.ROOT / ".env", extra="ignore")

    traffic_database: str | None = None
    traffic_keep: str = "90d"
    traffic_sample: str = "1"
