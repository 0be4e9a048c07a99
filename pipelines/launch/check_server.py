"""Check that flows can work with the Prefect server that PREFECT_API_URL names."""

import time

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings


def check_server(wait_s: float = 0) -> None:
    """Ask the server for its version, so that a flow does not fail with a traceback; do nothing if none is named.

    Args:
        wait_s: How long a server that is just starting may take to answer, s.

    Raises:
        ValueError: If the server does not answer, refuses the log-in, or has another major version.
    """
    url, end = get_current_settings().api.url, time.monotonic() + wait_s
    while url:
        try:
            with get_client(sync_client=True) as client:
                client.raise_for_api_version_mismatch()
        except PrefectHTTPStatusError as error:
            advice = "see PREFECT_API_URL and PREFECT_API_AUTH_STRING"
            raise ValueError(
                f"{url}: the Prefect server there answered {error.response.status_code}; {advice}"
            ) from None
        except RuntimeError as error:
            # Prefect gives it a cause if there was no answer, and none if the answer was wrong.
            if error.__cause__ is None or time.monotonic() >= end:
                raise ValueError(f"{url}: {error} See PREFECT_API_URL, or unset it to go without a server") from None
            time.sleep(0.1)
        else:
            return
