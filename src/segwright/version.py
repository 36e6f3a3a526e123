"""The version, on its own so that nothing heavy is read to learn it."""

VERSION = "1.0.0rc1"
