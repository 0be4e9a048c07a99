"""The command of the stage: `python -m stages.benchmark KEY`."""

from stages.benchmark.stage import main

main()
