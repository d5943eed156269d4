"""Speed, measured against the published way."""
