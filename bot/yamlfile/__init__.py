"""YAML files into strict models, with file, line and column in every complaint. Knows nothing of what they say."""

from bot.yamlfile.reading import read, text_of, where

__all__ = ["read", "text_of", "where"]
