"""Whether a run is worse than a baseline.

`snapshot` keeps a run as a small file, `compare` judges two of them, `reports` writes the judgement down.
"""
