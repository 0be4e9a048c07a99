"""The command of the stage: `python -m stages.evaluate KEY`."""

from stages.evaluate.stage import main

main()
