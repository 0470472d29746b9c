"""The `esbn` command, as `python -m study.cli`."""

from study.cli.main import main

main(prog_name="esbn")
