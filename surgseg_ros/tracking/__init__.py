"""Instances followed over frames."""
