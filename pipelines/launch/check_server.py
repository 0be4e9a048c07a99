"""Is the Prefect server that PREFECT_API_URL names one that flows can work with?"""

import time

from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import get_current_settings


def check_server(wait_s: float = 0) -> None:
    """Ask the server for its version, before a flow ends at it in a traceback; without one nothing is asked.

    Args:
        wait_s: How long a server that is just starting may take to answer.

    Raises:
        ValueError: If it does not answer, refuses the log-in, or is of another major version.
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
            # With a cause if there is no answer, without one if there is a wrong one.
            if error.__cause__ is None or time.monotonic() >= end:
                raise ValueError(f"{url}: {error} See PREFECT_API_URL, or unset it to go without a server") from None
            time.sleep(0.1)
        else:
            return
