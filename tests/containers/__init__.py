"""Tests of the images, run in each image's own environment."""
