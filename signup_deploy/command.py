"""Deploy: check the configuration, build the zip, and create or update the function."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

from signup_bridge.cli.installation import command_words

from signup_toolkit import senders

from .api.errors import DeployError
from .api.masking import collect_secrets
from .api.scf_api import ENDPOINT, Api, Credentials, DryRunApi, ScfApi
from .config import function_config
from .config.function_config import Config
from .config.serverless_file import ConfigError
from .deployment.deployment import Deployment
from .deployment.function_state import Archive
from .deployment.progress import ProgressReporter
from .packaging.package import build


def deploy(*, dry_run: bool, force: bool, package: Path | None, endpoint: str | None) -> int:
    """Deploy and return the exit status. Raises PackageError, OSError and KeyboardInterrupt."""
    progress = ProgressReporter(live=not dry_run)
    try:
        config = function_config.load()
        credentials = read_credentials(os.environ, needed=not dry_run)
        _warn(config, credentials, progress)
        archive = Archive.read(package or build(report=progress.say).archive)
        api: Api | None = None
        if credentials:
            api = ScfApi(
                credentials, config.region, secrets=collect_secrets(config.variables), endpoint=endpoint or ENDPOINT
            )
        if dry_run or api is None:
            if api is None:
                progress.say("TENCENT_SECRET_ID is not set; the following calls are those of a first deployment")
            api = DryRunApi(api, progress.say)
        url = Deployment(config, archive, api, progress, force=force).run()
    except (ConfigError, DeployError) as error:
        print(error, file=sys.stderr)
        return 1
    if dry_run:
        progress.say("nothing was changed (--dry-run)")
    elif config.url:
        progress.say(format_result(config, url))
    return 0


def read_credentials(environ: Mapping[str, str], *, needed: bool) -> Credentials | None:
    """Return the deployer's key, or None if it is neither set nor needed. Raises DeployError."""
    names = ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "TENCENT_SESSION_TOKEN")
    values = {name: environ.get(name, "").strip() for name in names}
    for name, value in values.items():
        if not value.isascii() or not value.isprintable() or " " in value:
            raise DeployError(f"deploy: {name} must contain only visible ASCII characters, without spaces; check it")
    secret_id, secret_key, token = values.values()
    if secret_id and secret_key:
        return Credentials(secret_id, secret_key, token or None)
    if needed or secret_id or secret_key:
        missing = [name for name in names[:2] if not values[name]]
        raise DeployError(
            f"deploy: {' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set; set your own API key "
            "(FUNCTION_SECRET_ID and FUNCTION_SECRET_KEY are the function's key)"
        )
    return None


def _warn(config: Config, credentials: Credentials | None, progress: ProgressReporter) -> None:
    if credentials and config.settings.tencent_secret_id == credentials.secret_id:
        progress.say(
            "WARNING: FUNCTION_SECRET_ID is your deployment key. An attacker who compromises the function can change "
            "it; create a separate key for the function (docs/guides/deploy.md)"
        )
    if config.settings.webhook_auth == "none":
        progress.say("WARNING: WEBHOOK_AUTH=none: requests from anyone who knows the URL are accepted")


def format_result(config: Config, url: str | None) -> str:
    """Return the final text: the function's URL, and a command that sends a delivery to it."""
    if url is None:
        return (
            "\nSCF has not assigned a URL yet. Run the command again, or check the function's triggers in the console."
        )
    if config.url and config.url.auth_type == "CAM":
        return f"\n{url}\n\nCallers must sign their requests with CAM (authType in serverless.yml)."
    command = [*command_words(), "send", "--url", f"{url.rstrip('/')}/webhooks/signup"]
    if "WEBHOOK_AUTH" in config.variables:
        command += ["--sender", senders.default_sender(config.settings.webhook_auth)]
    return f"""
{url}

To send a signed delivery, set the same WEBHOOK_SECRETS (the first secret signs), and pass a contact of your own and the
code that it received:

  {shlex.join(command)} --contact … --code …"""
