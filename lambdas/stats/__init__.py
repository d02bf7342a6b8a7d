"""Statistics: what every noun has counted, put together. It reads every service, and nothing imports it."""
