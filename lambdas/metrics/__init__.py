"""What was asked of the platform and how it went, counted from log lines and shown to Prometheus."""
