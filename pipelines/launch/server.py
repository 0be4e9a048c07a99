"""The Prefect server that `launcher` starts for one flow where none is named, as `uvicorn --factory` wants it."""

import gc

from fastapi import FastAPI


def create_app() -> FastAPI:
    """Load Prefect's server with the garbage collector off, which saves a tenth of the loading time."""
    gc.disable()
    from prefect.server.api import server  # noqa: PLC0415  # this import is what takes the time

    app = server.create_app()
    gc.freeze()
    gc.enable()
    return app
