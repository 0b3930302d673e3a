"""One hierarchy of errors; each message says what is wrong, where, and how to fix it."""

from __future__ import annotations


class PalmError(Exception):
    """Base of every error that the engine raises on purpose; safe to show to a user as it is."""


class InvalidInputError(PalmError, ValueError):
    """An argument, table or weight vector that cannot be used: names the row, column or shape."""


class UndefinedGapError(InvalidInputError):
    """A multiplicative target where the best value is not positive everywhere on the simplex."""


class InfeasibleError(PalmError):
    """No subset of the candidates meets the target that was asked for."""


class SolverError(PalmError):
    """A numerical solver gave up: says which problem and why."""


class BundleError(PalmError):
    """A bundle folder that breaks the format: names the file and the field or row."""


class ConfigError(PalmError):
    """A build configuration that cannot be used: names the file and the field."""


class ModelSourceError(PalmError):
    """A base model that could not be found, fetched, checked or converted."""


class DependencyError(PalmError):
    """A feature whose optional packages are not installed: names the extra to install."""


class GenerationError(PalmError):
    """Answers could not be generated.

    The server refused, the queue is full, or the model was unloaded.
    """
