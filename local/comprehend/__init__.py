"""A stand-in for Amazon Comprehend on one machine: word lists and rules behind Comprehend's own API.

It finds what its lists and rules say and nothing more, and the stage calls it `slipway-lexicon-1.0`, not Comprehend.
"""
