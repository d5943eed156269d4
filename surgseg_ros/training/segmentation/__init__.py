"""A class for every pixel: LWANet, and any network that gives class log-probabilities."""
