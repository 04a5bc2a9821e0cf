"""`python -m stirbeat` is `stirbeat`."""

from stirbeat.cli.main import main

main()
