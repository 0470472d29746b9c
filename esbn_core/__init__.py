"""Tasks, models and the training of a pack, in torch; no Ray, no files of results, no command line."""
