"""Decoding, face tracks and alignment. Importing this package loads nothing heavy."""

DECODER_VERSION = "1"
"""Raised when decoding gives other samples, frames or crops; cached features then expire."""
