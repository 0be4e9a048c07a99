"""The command of the stage: `python -m stages.download KEY`."""

from stages.download.stage import main

main()
