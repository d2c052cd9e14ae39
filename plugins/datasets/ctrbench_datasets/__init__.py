"""The datasets that ctrbench ships, one file a method."""
