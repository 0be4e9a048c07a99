"""The command of the stage: `python -m stages.train KEY`."""

from stages.train.stage import main

main()
