"""The models that ctrbench ships, one file per method."""
