"""The data sets that ctrbench ships, one file per data set."""
