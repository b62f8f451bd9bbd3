"""The command `postern privacy`."""

import json
from dataclasses import asdict

from postern.host.rendering import render
from postern.options import AsJson, ConfigFile, Relay, SandboxDirectory, command_group

app = command_group()


@app.command()
def privacy(
    config_file: ConfigFile = None, sandbox: SandboxDirectory = None, as_json: AsJson = False
) -> None:
    """What is on disk where, for how long, and who can read it.

    As this relay is configured. The page is Markdown: publish it, or read it.
    """
    config = Relay.of(config_file, sandbox).config
    text = render("privacy.md", asdict(config))
    print(
        json.dumps({"domain": config.mail_domain, "markdown": text}) if as_json else text.rstrip()
    )
