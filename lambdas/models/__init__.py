"""The registry: every trained or uploaded model is a version."""
