"""The command of the stage: `python -m stages.synthesize KEY`."""

from stages.synthesize.stage import main

main()
