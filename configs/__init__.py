"""Recipes: one `get_config()` a file, named on the command line by `--config=configs/<name>.py`."""
