"""Tasks, models and training of a pack, in torch; no Ray, no result files, no command line."""
