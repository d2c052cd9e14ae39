"""The models that ctrbench ships, one file a method."""
