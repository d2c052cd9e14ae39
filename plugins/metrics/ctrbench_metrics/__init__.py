"""The metrics that ctrbench ships, one file a method."""
