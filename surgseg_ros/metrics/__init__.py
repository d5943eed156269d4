"""Accuracy measures as the literature reports them, one file per kind. numpy only."""
