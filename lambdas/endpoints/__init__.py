"""Endpoints: a model version, deployed behind a URL."""
