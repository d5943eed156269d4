"""Pipelines, the supervisor of their processes, DDS domains."""
