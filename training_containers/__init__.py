"""Training and serving containers: one folder per image family, and `common` for what they share."""
