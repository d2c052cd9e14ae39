"""The generators that ctrbench ships, one file per method."""
