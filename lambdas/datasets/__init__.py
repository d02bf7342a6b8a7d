"""Datasets: one file each, uploaded straight to S3, checked and profiled once, then never changed."""
