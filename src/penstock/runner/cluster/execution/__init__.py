"""Runs a plan on a cluster whose workers may die. Connecting and waiting for workers are in the folders next to this one."""
