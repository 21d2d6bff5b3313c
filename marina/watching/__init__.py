"""What a running server does: read from its Management and Metrics APIs, shown to a person."""
