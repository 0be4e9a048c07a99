"""When to run, what to keep, what to promote: the only room that talks to a server. Importing it loads no torch.

`repository` runs git and DVC; `serving` packs a trained model; `tracking` turns the files of the stages into MLflow
runs; `promotion` registers versions, judges them and moves the champion; `flows` are the Prefect flows, and `launch`
starts them; `ablation` compares variants of the method; `cli` is the command `diffusionad`.
"""

import os

# Here and not in a module: mlflow reads them once, while it is imported, which happens before our modules run.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# The same holds for Prefect: it sends no statistics and asks no questions, and a slow machine may take its time.
os.environ.setdefault("DO_NOT_TRACK", "true")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_CLI_PROMPT", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "600")
