"""The version of t3sim, from the installed package."""

from importlib.metadata import version

__version__ = version("t3sim")
