"""The metrics that ctrbench ships, one file per method."""
