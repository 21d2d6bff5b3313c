"""A store shared with others: pushed to and pulled from S3, any address that fsspec knows, or a folder."""
