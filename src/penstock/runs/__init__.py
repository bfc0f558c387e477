"""What happened in a run: its records, its progress and its result. What starts and ends a run is in `runner`."""
