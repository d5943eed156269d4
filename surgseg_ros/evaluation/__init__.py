"""Files or recorded bags in, metrics and pictures out."""
