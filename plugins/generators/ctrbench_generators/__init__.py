"""The generators that ctrbench ships, one file a method."""
