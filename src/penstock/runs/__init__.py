"""What happened in a run. Nothing here starts one."""
