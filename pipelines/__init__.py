"""When to run, what to keep, what to promote: the only room that talks to a server. Importing it loads no torch.

`results` and `lineage` read what the stages left; `tracking` turns it into MLflow runs; `serving_model` is what a
registered version holds; `gates` decides, `registry` and `promotion` obey; `*_flow` say what follows what, and
`launcher` starts them; `cli` is the command `diffusionad`.
"""

import os

# Here and not in a module: mlflow reads them once, while it is imported, and imports of mlflow come before ours.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# The same holds for Prefect: nothing is sent anywhere, nothing is asked, and a slow machine may take its time.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_CLI_PROMPT", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "600")
