"""`python -m study.cli`, which is the command `esbn`."""

from study.cli.main import main

main(prog_name="esbn")
