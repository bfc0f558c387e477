from door.hooks import Guard, Notes

HOOKS = (Notes(), Guard())
CONFIG_LOADER_ARGS = {"base_env": "base", "default_run_env": "local"}
