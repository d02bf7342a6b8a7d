"""Figures, each a ratio against something run beside it or an exact count.  `make bench`"""
