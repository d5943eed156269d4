"""Losses, one file each, torch only; every one is held to its authors' values and gradients."""
