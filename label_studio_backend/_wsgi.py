"""The WSGI application that `label-studio-ml start label_studio_backend` and gunicorn serve.

Every process loads the model, so run one process with threads:
`gunicorn --workers 1 --threads 16 label_studio_backend._wsgi:app`.
Without the official SDK use `pam-labeling serve`.
"""

from __future__ import annotations

import argparse
import logging
import os

from label_studio_ml.api import init_app

from label_studio_backend.model import PerceiveAnything


def _arguments() -> argparse.Namespace:
    """The arguments that the SDK's `start` passes on; under gunicorn, the defaults."""
    parser = argparse.ArgumentParser(description="Perceive Anything for Label Studio")
    parser.add_argument("-p", "--port", type=int, default=os.environ.get("PORT", "9090"))
    parser.add_argument("--host", default=os.environ.get("PAM_HOST", "127.0.0.1"))
    parser.add_argument("--log-level", default=os.environ.get("LOG_LEVEL", "INFO"))
    parser.add_argument("-d", "--debug", action="store_true")
    parser.add_argument("--check", action="store_true", help="load the model first")
    parser.add_argument("--basic-auth-user", default=os.environ.get("BASIC_AUTH_USER"))
    parser.add_argument("--basic-auth-pass", default=os.environ.get("BASIC_AUTH_PASS"))
    return parser.parse_args(None if __name__ == "__main__" else [])


arguments = _arguments()
app = init_app(
    PerceiveAnything,
    basic_auth_user=arguments.basic_auth_user,
    basic_auth_pass=arguments.basic_auth_pass,
)
if __name__ == "__main__":
    logging.basicConfig(level=arguments.log_level)
    if arguments.check:
        PerceiveAnything(project_id="", label_config=None)
    app.run(host=arguments.host, port=arguments.port, debug=arguments.debug)
