"""Counts the cluster's workers, waits for them and replaces them. What the workers run is in `execution`."""
