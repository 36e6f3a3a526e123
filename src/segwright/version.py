"""The version, on its own so that nothing heavy is read to learn it."""

VERSION = "0.1.0"
