"""The machine: processor, memory, disk, and the processes of the house."""

from __future__ import annotations

from marina.watching.dashboards.page import Page
from marina.watching.dashboards.panels import GREEN, RED, YELLOW, Panel, Query, Row, Step

TIGHT = (Step(80, YELLOW), Step(90, RED))
DAYS = (Step(0, RED), Step(7, YELLOW), Step(30, GREEN))
UP = (Step(0, RED), Step(1, GREEN))

MACHINE = Row(
    "TorchServe's machine, looked at once a minute",
    [
        Panel(
            "Processor",
            "Of all cores.",
            "percent",
            (Query("CPUUtilization", "in use"),),
            top=100,
            steps=TIGHT,
        ),
        Panel(
            "Memory",
            "Used by all processes, and left for further workers.",
            "mbytes",
            (Query("MemoryUsed", "used"), Query("MemoryAvailable", "available")),
            stacked=True,
        ),
        Panel(
            "Disk",
            "Of the disk that TorchServe runs on; unpacked archives and logs lie there.",
            "percent",
            (Query("DiskUtilization", "in use"),),
            top=100,
            steps=TIGHT,
        ),
        Panel(
            "GPU",
            "Busy, and its memory; nothing without one.",
            "percent",
            (Query("GPUUtilization", "GPU {{DeviceId}}"), Query("GPUMemoryUtilization", "GPU {{DeviceId}} memory")),
            top=100,
        ),
        Panel(
            "Workers' memory",
            "Resident, by model and version, all workers together.",
            "bytes",
            (Query("sum by (model_name, model_version) (marina_worker_memory_bytes)", "{{model_name}} {{model_version}}"),),
            stacked=True,
        ),
        Panel(
            "TorchServe's answers",
            "By class; 5xx also where no handler was asked: no worker, a full queue, a worker that died.",
            "reqps",
            (
                Query("rate(Requests2XX[$__rate_interval])", "2xx"),
                Query("rate(Requests4XX[$__rate_interval])", "4xx"),
                Query("rate(Requests5XX[$__rate_interval])", "5xx"),
            ),
            stacked=True,
        ),
    ],
)

HOUSE = Row(
    "The house",
    [
        Panel(
            "Scraped",
            "What Prometheus reaches: red is down.",
            "short",
            (Query("up", "{{job}}"),),
            kind="state-timeline",
            steps=UP,
        ),
        Panel(
            "Read by the exporter",
            "TorchServe, the gateway, the deployment's file, certificates: red cannot be read.",
            "short",
            (Query("marina_source_up", "{{source}}"),),
            kind="state-timeline",
            steps=UP,
        ),
        Panel(
            "Certificates end in",
            "Days; below 30 there is a ticket.",
            "d",
            (Query("(marina_certificate_expiry_timestamp_seconds - time()) / 86400", "{{file}}"),),
            kind="bargauge",
            steps=DAYS,
        ),
        Panel(
            "Processes' memory",
            "Resident, of those that say so.",
            "bytes",
            (Query("process_resident_memory_bytes", "{{job}}"), Query("envoy_server_memory_allocated", "{{job}}")),
        ),
        Panel(
            "Processes' processor",
            "Cores in use.",
            "short",
            (Query("rate(process_cpu_seconds_total[$__rate_interval])", "{{job}}"),),
        ),
        Panel(
            "Cost of watching",
            "Seconds that each scrape took.",
            "s",
            (Query("scrape_duration_seconds", "{{job}}"),),
        ),
        Panel(
            "Series",
            "That each scrape brought; a model's version brings some 150 to TorchServe's.",
            "short",
            (Query("scrape_samples_post_metric_relabeling", "{{job}}"),),
        ),
        Panel(
            "Alerts",
            "That fire now.",
            "short",
            (Query('count by (alertname, severity) (ALERTS{alertstate="firing"}) or vector(0)', "{{alertname}} {{severity}}"),),
            kind="bargauge",
            steps=(Step(1, RED),),
        ),
        Panel(
            "Recorded requests",
            "A second, by the recorder.",
            "reqps",
            (Query("rate(marina_recorder_requests_total[$__rate_interval])", "recorded"),),
        ),
    ],
    height=7,
)

PAGE = Page("machine", "the machine", "Processor, memory, disk, and the processes of the house.", [], [MACHINE, HOUSE])
