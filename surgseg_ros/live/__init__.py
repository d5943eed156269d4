"""Running graphs watched and fed from a program."""
