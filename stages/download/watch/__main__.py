"""The command of the look: `python -m stages.download.watch KEY`."""

from stages.download.watch.look import main

main()
