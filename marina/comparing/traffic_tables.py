"""The tables of the traffic database."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Double, Index, Integer, MetaData, Table, Text

SCHEMA = 1  # raised when a table changes

metadata = MetaData()

about = Table(
    "about",
    metadata,
    Column("name", Text, primary_key=True),  # "marina traffic", the schema's number; "salt", a proof of which one it is
    Column("value", Text, nullable=False),
)

requests = Table(
    "requests",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("time", Double, nullable=False),  # Unix seconds, when it came
    Column("model", Text, nullable=False),
    Column("route", Text, nullable=False),  # predictions, explanations
    Column("experiment", Text),  # none without a split
    Column("key", Text),  # the sticky key, hashed; none where the gateway made one for this request alone
    Column("key_from", Text),  # header, cookie, fresh
    Column("assigned", Text),  # the arm that the split chose
    Column("answered", Text),  # the version that answered
    Column("status", Integer, nullable=False),  # what the caller got
    Column("first_status", Integer),  # what the assigned arm said first
    Column("seconds", Double),
    Column("attempts", Integer),
    Column("shadow", Text),  # the version that got a copy
    Index("requests_by_time", "model", "experiment", "time"),
    Index("requests_by_key", "experiment", "key", "time"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("request_id", Text),  # of what it is an outcome: a request,
    Column("experiment", Text),  # or a key (hashed) within an experiment
    Column("key", Text),
    Column("metric", Text, nullable=False),
    Column("value", Double, nullable=False),
    Column("time", Double, nullable=False),
    Index("outcomes_by_request", "request_id"),
    Index("outcomes_by_key", "experiment", "key"),
    Index("outcomes_by_metric", "metric", "time"),
)

events = Table(
    "events",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("time", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("text", Text, nullable=False),
)

splits = Table(
    "splits",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("time", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("experiment", Text, nullable=False),
    Column("weights", JSON, nullable=False),  # percent by version, as in a deployment
)

summaries = Table(  # what versions answered, until the other version's is there too
    "summaries",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("kind", Text, primary_key=True),  # predict, explain
    Column("time", Double, nullable=False),  # when it was read
    Column("model", Text, nullable=False),
    Column("label", Text),
    Column("probabilities", JSON),
    Column("seconds", Double),
    Index("summaries_by_time", "time"),
)

agreements = Table(
    "agreements",
    metadata,
    Column("request_id", Text, primary_key=True),
    Column("shadow", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("time", Double, nullable=False),
    Column("model", Text, nullable=False),
    Column("live", Text, nullable=False),
    Column("same_label", Integer),  # 1, 0; none where an answer has no label
    Column("distance", Double),  # total variation between the probabilities, 0 to 1
    Column("live_seconds", Double),
    Column("shadow_seconds", Double),
    Index("agreements_by_time", "model", "time"),
)

progress = Table(  # how far each log has been read
    "progress",
    metadata,
    Column("source", Text, primary_key=True),  # known by its first line
    Column("bytes_read", Integer, nullable=False),
)
