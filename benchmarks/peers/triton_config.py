"""The config.pbtxt of Triton's Python backend: dynamic batching, and as many instances as are asked for.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/batcher.html
"""

CONFIG = """name: "classifier"
backend: "python"
max_batch_size: {batch}
input [ {{ name: "image" data_type: TYPE_STRING dims: [ 1 ] }} ]
output [ {{ name: "classes" data_type: TYPE_STRING dims: [ 1 ] }} ]
dynamic_batching {{ max_queue_delay_microseconds: 1000 }}
instance_group [ {{ count: {workers} kind: KIND_CPU }} ]
"""
