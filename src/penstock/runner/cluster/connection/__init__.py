"""Reads the user's settings, and connects to a cluster or starts one. What runs on the cluster is in the folders next to this one."""
