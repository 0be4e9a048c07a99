"""The command of the stage: `python -m stages.foreground KEY`."""

from stages.foreground.stage import main

main()
