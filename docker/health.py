"""Exit with 0 if the backend of this container is ready to predict, else with 1."""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException


def main() -> None:
    """Ask /ready, which needs no password."""
    # Not urllib.request, which would use a proxy of the environment.
    connection = HTTPConnection("127.0.0.1", int(os.environ.get("PORT") or 9090), timeout=4)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        print(answer.status, answer.read(200).decode(errors="replace"))
    except (OSError, HTTPException) as error:
        print(f"no answer: {error}")
        sys.exit(1)
    finally:
        connection.close()
    sys.exit(answer.status != 200)


if __name__ == "__main__":
    main()
