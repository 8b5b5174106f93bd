"""The download program: ``python -m kto_tui.hub.fetch [--revision R] ORG/NAME``; see ``kto_tui.hub.updates``.

A process of its own, because huggingface_hub takes long to import and its transfers can only be ended from outside.
"""

import argparse
import importlib.util
import os
import signal
import sys

from kto_tui.hub import sentences
from kto_tui.hub.cache import cached, cached_dataset
from kto_tui.hub.meter import Channel, Meter
from kto_tui.hub.request import NOUNS, Request
from kto_tui.hub.settings import endpoint, is_address
from kto_tui.hub.updates import Done, Failed, Noted

# Read by the library when it is imported. Nothing but our lines may reach a terminal: its warnings hold addresses.
QUIET = {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_VERBOSITY": "error", "HF_DEBUG": "0"}


def run(asked: Request, channel: Channel) -> Done | Failed:
    """Fetch and turn whatever happens into the last line."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return sentences.no_library()
    if not is_address(endpoint()):
        return sentences.no_address()
    os.environ.update(QUIET)
    from kto_tui.hub.failures import explain
    from kto_tui.hub.transfer import fetch

    try:
        return fetch(asked, Meter(channel), lambda text: channel.say(Noted(text=text)))
    except Exception as error:  # noqa: BLE001 - a person gets a sentence whatever happened
        failed = explain(error, asked)
    if failed.kind == "offline" and (here := _copy(asked)):
        channel.say(Noted(text=f"{failed.message}; taking the copy that is here"))
        return here
    return failed


def _copy(asked: Request) -> Done | None:
    """What is here already, when it is all that was asked for."""
    if asked.repo_type == "dataset":
        folder = cached_dataset(asked.id, asked.revision, asked.config, asked.split)
        return Done(path=str(folder), revision=folder.name) if folder else None
    found = cached(asked.id) if asked.revision is None else None
    return Done(path=found.main.path, revision=found.main.commit) if found and found.main and found.complete else None


def main(argv: list[str]) -> None:
    """Entry point; exit code 0 done, 1 failed, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m kto_tui.hub.fetch")
    parser.add_argument("id", metavar="ORG/NAME")
    parser.add_argument("--repo-type", choices=list(NOUNS), default="model")
    parser.add_argument("--revision", help="branch, tag or commit")
    parser.add_argument("--config", help="of a data set with several")
    parser.add_argument("--split", help="of a data set, instead of all")
    parser.add_argument("--backend", help="who is to train a model")
    parser.add_argument("--max-length", type=int, help="tokens of the rows it is to train on")
    asked = Request(**vars(parser.parse_args(argv)))
    # Standard output is ours alone: whatever else prints goes where it cannot damage a line.
    channel = Channel(os.dup(sys.stdout.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: channel.leave(sentences.interrupted(), 130))
    last = run(asked, channel)
    channel.leave(last, 0 if isinstance(last, Done) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
