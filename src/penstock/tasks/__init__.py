"""What one Dask task does, on any scheduler: load, call, save. Which tasks a pipeline needs is decided in `graph`."""
