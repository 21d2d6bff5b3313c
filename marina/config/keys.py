"""Every key of TorchServe 0.12.0's config.properties; a test compares the table with the constants of its jar."""

from __future__ import annotations

from typing import Literal, NamedTuple

Kind = Literal[
    "text", "yes or no", "whole number", "number", "address", "host", "port", "file", "folder", "pattern", "JSON", "one of"
]
MOST = 2**31 - 1
LONGEST = 2**63 - 1


class Key(NamedTuple):
    """A setting.

    Attributes:
        name: as it is written in the file.
        kind: what its value is.
        default: where the file does not have it; "" is none.
        meaning: what it does, in one line.
        least: of a number.
        most: of a number.
        choices: of "one of".
        variable: of the environment, which goes before the file where enable_envvars_config is true; "" is none.
    """

    name: str
    kind: Kind
    default: str
    meaning: str
    least: float = 0
    most: float = MOST
    choices: tuple[str, ...] = ()
    variable: str = "TS_"


def _keys(*listed: Key) -> dict[str, Key]:
    return {
        key.name: key._replace(variable=key.variable + key.name.upper() if key.variable == "TS_" else key.variable)
        for key in listed
    }


KEYS = _keys(
    # Addresses
    Key("inference_address", "address", "http://127.0.0.1:8080", "where predictions are asked for"),
    Key("management_address", "address", "http://127.0.0.1:8081", "where models are registered, scaled and removed"),
    Key("metrics_address", "address", "http://127.0.0.1:8082", "where Prometheus reads metrics"),
    Key("grpc_inference_address", "host", "127.0.0.1", "host of the gRPC inference service"),
    Key("grpc_management_address", "host", "127.0.0.1", "host of the gRPC management service"),
    Key("grpc_inference_port", "port", "7070", "port of the gRPC inference service"),
    Key("grpc_management_port", "port", "7071", "port of the gRPC management service"),
    Key("grpc_inference_max_connection_age_ms", "whole number", "", "how long a gRPC inference connection may last", 1, LONGEST),
    Key(
        "grpc_management_max_connection_age_ms", "whole number", "", "how long a gRPC management connection may last", 1, LONGEST
    ),
    Key("grpc_inference_max_connection_age_grace_ms", "whole number", "", "time to finish calls after that", 0, LONGEST),
    Key("grpc_management_max_connection_age_grace_ms", "whole number", "", "time to finish calls after that", 0, LONGEST),
    Key("ts_open_inference_protocol", "yes or no", "false", "serve KServe's v2 protocol", variable="TS_OPEN_INFERENCE_PROTOCOL"),
    Key("initial_worker_port", "port", "9000", "first number of the workers' sockets", 1, 65535),
    Key("initial_distribution_port", "port", "29500", "first port of torchrun's rendezvous", 1, 65535),
    # Encryption
    Key("certificate_file", "file", "", "PEM file of the certificate and its chain"),
    Key("private_key_file", "file", "", "PEM file of its RSA key, PKCS#8"),
    Key("keystore", "file", "", "key and certificate in one file, in place of the two"),
    Key("keystore_pass", "text", "changeit", "password of the keystore"),
    Key("keystore_type", "one of", "PKCS12", "format of the keystore", choices=("PKCS12", "JKS")),
    Key("enable_grpc_ssl", "yes or no", "false", "TLS for gRPC, with certificate_file and private_key_file"),
    # Who may do what
    Key("disable_token_authorization", "yes or no", "false", "ask for no token"),
    Key(
        "token_expiration_min",
        "number",
        "60",
        "minutes that a token is good for",
        0,
        1e9,
        variable="TS_TOKEN_EXPIRATION_TIME_MIN",
    ),
    Key("enable_model_api", "yes or no", "false", "allow models to be registered and removed while it runs"),
    Key(
        "allowed_urls", "pattern", "file://.*|http(s)?://.*", "what archives may be loaded from: regular expressions, with commas"
    ),
    Key("use_env_allowed_urls", "yes or no", "false", "let TS_ALLOWED_URLS go before allowed_urls", variable=""),
    Key("enable_envvars_config", "yes or no", "false", "let TS_… variables go before this file", variable=""),
    Key("blacklist_env_vars", "pattern", "", "variables of the environment that workers do not get"),
    Key("cors_allowed_origin", "text", "", "origin whose pages may call from a browser"),
    Key("cors_allowed_methods", "text", "", "methods that they may use"),
    Key("cors_allowed_headers", "text", "", "headers that they may send"),
    Key("install_py_dep_per_model", "yes or no", "false", "install an archive's requirements.txt when it is loaded"),
    # Models
    Key("model_store", "folder", "", "folder that archives are read from and copied to"),
    Key("workflow_store", "folder", "", "folder of workflow archives; the model store where it is not given"),
    Key("load_models", "text", "", "what is loaded at the start: all, or archives with commas"),
    Key("models", "JSON", "", "settings of each version, as JSON", variable=""),
    Key("model_snapshot", "JSON", "", "written by TorchServe's snapshots", variable=""),
    Key("default_workers_per_model", "whole number", "0", "workers of a version that names none; 0: one for each GPU or core"),
    Key("default_response_timeout", "whole number", "120", "seconds for a batch; after them the worker is restarted", 1),
    Key("default_startup_timeout", "whole number", "120", "seconds for a worker to load", 1),
    Key("unregister_model_timeout", "whole number", "120", "seconds for a version's files to be removed", 1),
    Key("default_service_handler", "text", "", "handler of archives that name none"),
    Key("service_envelope", "one of", "", "form of requests for all models", choices=("body", "json", "kserve", "kservev2")),
    Key(
        "ts_header_key_sequence_id",
        "text",
        "ts_request_sequence_id",
        "header of a sequence's id",
        variable="TS_HEADER_KEY_SEQUENCE_ID",
    ),
    Key(
        "ts_header_key_sequence_start",
        "text",
        "ts_request_sequence_start",
        "header of its start",
        variable="TS_HEADER_KEY_SEQUENCE_START",
    ),
    Key(
        "ts_header_key_sequence_end",
        "text",
        "ts_request_sequence_end",
        "header of its end",
        variable="TS_HEADER_KEY_SEQUENCE_END",
    ),
    # Limits
    Key("job_queue_size", "whole number", "100", "requests of a version that wait; more are answered 503", 1),
    Key("max_request_size", "whole number", "6553500", "bytes of a request", 1),
    Key("max_response_size", "whole number", "6553500", "bytes of an answer; a larger one fails its whole batch", 1),
    Key("limit_max_image_pixels", "yes or no", "true", "refuse images that Pillow takes for bombs, in TorchServe's own handlers"),
    Key("decode_input_request", "yes or no", "true", "let a worker decode JSON and text before the handler"),
    # Machine
    Key("number_of_netty_threads", "whole number", "0", "threads of each API; 0: as many as cores"),
    Key("netty_client_threads", "whole number", "0", "threads that talk to workers; 0: as many as cores"),
    Key("number_of_gpu", "whole number", "", "GPUs that may be used; all, where it is not given"),
    Key("prefer_direct_buffer", "yes or no", "false", "keep bodies outside Java's heap"),
    Key("use_native_io", "yes or no", "true", "epoll and unix sockets for workers", variable=""),
    Key("io_ratio", "whole number", "50", "percent of a thread's time for reading and writing", 1, 100, variable=""),
    Key("cpu_launcher_enable", "yes or no", "false", "start workers by Intel's launcher"),
    Key("cpu_launcher_args", "text", "", "its arguments"),
    Key("ipex_enable", "yes or no", "false", "Intel's extension for PyTorch, in TorchServe's own handlers"),
    Key("ipex_gpu_enable", "yes or no", "false", "the same, on Intel's GPUs"),
    Key("vmargs", "text", "", "arguments of Java, read by the launcher", variable=""),
    Key("plugins_path", "text", "", "folder of plug-ins, read by the launcher", variable=""),
    Key("python", "file", "", "Python of the workers; the launcher's own goes before it", variable=""),
    Key("model_server_home", "folder", "", "where TorchServe is installed"),
    # Logs and metrics
    Key(
        "metrics_mode",
        "one of",
        "log",
        "metrics as log lines, for Prometheus, or as TorchServe 0.7 did",
        choices=("log", "prometheus", "legacy"),
    ),
    Key("metrics_config", "file", "", "YAML file that says which metrics there are; TorchServe's own where it is not given"),
    Key("enable_metrics_api", "yes or no", "true", "serve metrics at metrics_address"),
    Key("model_metrics_auto_detect", "yes or no", "false", "take metrics that metrics_config does not declare"),
    Key("disable_system_metrics", "yes or no", "false", "collect no metrics of the machine"),
    Key("system_metrics_cmd", "text", "", "program that collects metrics of the machine", variable=""),
    Key("metric_time_interval", "whole number", "60", "seconds between metrics of the machine", 1, variable=""),
    Key("async_logging", "yes or no", "false", "let log lines be written by threads of their own"),
    Key("cpp_log_config", "file", "", "log settings of the C++ backend"),
    Key("debug", "yes or no", "false", "one worker for each version"),
    # What TorchServe itself writes into snapshots
    Key("version", "text", "", "written by TorchServe's snapshots", variable=""),
    Key("tsConfigFile", "text", "", "written by TorchServe's snapshots", variable=""),
)

OF_OTHERS = {
    "metrics_format": "TorchServe 0.12.0 ignores it: write metrics_mode=prometheus",
    "snapshot_store": "TorchServe 0.12.0 ignores it: delete it",
    "NUM_WORKERS": "TorchServe ignores it; only KServe's wrapper reads it: write default_workers_per_model for TorchServe",
    "enable_dynamic_batching": "TorchServe ignores it: write batchSize and maxBatchDelay in 'models' or in model-config.yaml",
}

BY_VARIABLE = {key.variable: key for key in KEYS.values() if key.variable}

OF_A_VERSION = {  # of ``models`` and ``model_snapshot``: the least that is taken; what is below is ignored without a word
    "defaultVersion": None,
    "marName": None,
    "runtimeType": None,
    "minWorkers": 1,
    "maxWorkers": 1,
    "batchSize": 1,
    "maxBatchDelay": 1,
    "responseTimeout": 1,
    "startupTimeout": 1,
    "parallelLevel": 1,
}
