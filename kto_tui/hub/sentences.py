"""Every sentence about getting what the hub has: the command line, the wizard and the worker say the same."""

from kto_tui import units
from kto_tui.environment import INSTALL_HERE
from kto_tui.hub.data_files import CONVERTED
from kto_tui.hub.request import NOUNS, RepoType
from kto_tui.hub.selection import lacks_room
from kto_tui.hub.settings import endpoint, page, token_known
from kto_tui.hub.updates import Failed, Noted, Progressed, Update
from kto_tui.paths import hub_cache
from kto_tui.repository import UnknownPartError

NOT_LOGGED_IN = "No token is here yet, neither in HF_TOKEN nor from hf auth login"
SHOWN = 12
AGAIN = "Start the download again: it goes on where it stopped"


def progress_line(now: Progressed) -> str:
    """Amounts, rate, time left and files."""
    parts = [f"{units.size(now.bytes_done)} of {units.size(now.bytes_total)}"]
    if now.bytes_per_second is not None:
        parts.append(f"{units.size(now.bytes_per_second)}/s")
    if now.seconds_left is not None and now.share < 1:
        parts.append(f"{units.duration(now.seconds_left)} left")
    return " · ".join([*parts, f"{now.files_done} of {now.files_total} files"])


def line(update: Update) -> str | None:
    """What an update says on a line of its own; None for the last ones, which need more than a line."""
    match update:
        case Progressed():
            return progress_line(update)
        case Noted():
            return update.text
        case _:
            return None


def login_steps(repo_id: str, repo_type: RepoType = "model") -> list[str]:
    """How to become allowed to fetch what is gated."""
    return [
        f"1. Accept its licence (some authors answer each request themselves):\n   {page(repo_id, repo_type)}",
        f"2. Create a token of type read:\n   {endpoint()}/settings/tokens",
        "3. In another terminal: hf auth login\n   (or leave, and start kto-tui with HF_TOKEN set)",
        "4. Come back here and press r to try again",
    ]


def gated(repo_id: str, repo_type: RepoType = "model") -> Failed:
    """It wants an account that accepted its licence."""
    what, where = f"This {NOUNS[repo_type]} is gated", page(repo_id, repo_type)
    if token_known():
        return Failed(
            kind="gated",
            message=f"{what}, and the account of your token has no access to it",
            mend=f"Accept its licence, or ask for access, at {where}, with the account of the token",
        )
    return Failed(
        kind="gated",
        message=f"{what}, and nobody is logged in",
        mend=f"Accept its licence at {where}, then log in with: hf auth login (or set HF_TOKEN)",
    )


def token_refused() -> Failed:
    """The token is wrong, expired or revoked."""
    return Failed(
        kind="token",
        message=f"{endpoint()} does not accept your token; it may be mistyped, expired or revoked",
        mend=f"Create one at {endpoint()}/settings/tokens and log in with: hf auth login (or set HF_TOKEN)",
    )


def token_too_weak(repo_type: RepoType) -> Failed:
    """The token is good, but not for this."""
    return Failed(
        kind="token",
        message=f"Your token may not read this {NOUNS[repo_type]}",
        mend=f"Create one of type read at {endpoint()}/settings/tokens, then: hf auth login (or set HF_TOKEN)",
    )


def missing(repo_type: RepoType) -> Failed:
    """No such repository, or one that is hidden."""
    what = f"{endpoint()} knows no such {NOUNS[repo_type]}, or it is private"
    if token_known():
        return Failed(
            kind="missing",
            message=f"{what} and your account may not see it",
            mend="Check the spelling, or the account of your token",
        )
    return Failed(
        kind="missing",
        message=f"{what}: without a login it does not tell which",
        mend="Check the spelling, or log in with: hf auth login (or set HF_TOKEN)",
    )


def revision_missing(revision: str | None, repo_type: RepoType) -> Failed:
    """The repository is there, the revision is not."""
    return Failed(
        kind="missing",
        message=f"The {NOUNS[repo_type]} has no revision {revision or 'main'}",
        mend="Name a branch, tag or commit it has",
    )


def not_an_id(repo_type: RepoType) -> Failed:
    """What was asked for cannot be a name on the hub."""
    return Failed(
        kind="missing",
        message="This is neither a folder nor a hub id",
        mend=f"Give an existing folder or a name like org/{'model' if repo_type == 'model' else 'name'}",
    )


def renamed(name: str, repo_type: RepoType) -> Failed:
    """It has another id by now."""
    what = f"This {NOUNS[repo_type]} is called {name} now"
    return Failed(kind="renamed", message=what, mend=f"Choose {name}", renamed_to=name)


def disabled(repo_type: RepoType) -> Failed:
    """The hub took it down."""
    noun = NOUNS[repo_type]
    return Failed(kind="other", message=f"The hub has disabled access to this {noun}", mend=f"Choose another {noun}")


def told_to_stay_offline(repo_type: RepoType) -> Failed:
    """The environment forbids the network."""
    models = "choose a model that is here (kto-tui models --cached)"
    mend = models if repo_type == "model" else "give the folder where its files are"
    return Failed(
        kind="offline",
        message=f"This {NOUNS[repo_type]} is not (wholly) here, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set",
        mend=f"Unset it, or {mend}",
    )


def unreachable(reason: str) -> Failed:
    """No answer."""
    return Failed(
        kind="offline",
        message=f"{endpoint()} cannot be reached or broke off ({reason})",
        mend="Check the network (or set HF_ENDPOINT to a mirror) and try again: a download goes on where it stopped",
    )


def no_address() -> Failed:
    """``HF_ENDPOINT`` is set to something else."""
    return Failed(
        kind="other",
        message=f"HF_ENDPOINT is {endpoint()[:80]!r}, which is no http:// or https:// address",
        mend="Correct or unset it",
    )


def disk_short(needed: int | None, free: int | None) -> str | None:
    """That the cache's disk has no room for a download of ``needed`` bytes; None where it has, or nobody knows."""
    if needed is None or free is None or not lacks_room(needed, free):
        return None
    return f"only {units.size(free)} is free in {hub_cache()}"


def no_room(needed: int, free: int | None, where: str) -> Failed:
    """The disk of the cache is too small; ``free`` None: it was full when a write failed."""
    want = f"The download needs {units.size(needed)} " if needed else "The disk is full "
    have = "" if free is None else f"and {units.size(free)} are free "
    return Failed(
        kind="disk",
        message=f"{want}{have}in {where}",
        mend="Free some, or set HF_HOME to a folder on a larger disk",
    )


def unwritable(reason: str, where: str) -> Failed:
    """The cache is no place to write to."""
    return Failed(
        kind="other",
        message=f"The hub's cache {where} cannot be written ({reason})",
        mend="Mend its permissions, or set HF_HOME to a folder of yours",
    )


def no_library() -> Failed:
    """The hub's library is not installed."""
    return Failed(kind="library", message="Downloading needs huggingface_hub", mend=f"Install with: {INSTALL_HERE}")


def not_a_hub() -> Failed:
    """Something else answers there."""
    return Failed(
        kind="other", message=f"{endpoint()} does not answer like a hub", mend="Check HF_ENDPOINT and the proxy"
    )


def server_error(status: int) -> Failed:
    """The hub has trouble of its own."""
    too_many = "asks to wait, it had too many requests" if status == 429 else f"answers with error {status}"
    return Failed(kind="other", message=f"{endpoint()} {too_many}", mend="Try again in a few minutes")


def not_trainable(why: str) -> Failed:
    """The repository has no checkpoint that Transformers would load."""
    return Failed(kind="other", message=f"This repository {why}", mend="Choose a Transformers checkpoint")


def no_data(script: str | None) -> Failed:
    """The data set's repository has no file of rows, and the hub's own conversion of it is missing."""
    why = (
        "has no parquet, jsonl, json, csv, tsv or arrow files"
        if script is None
        else f"gets its rows from the program {script}, which is never run"
    )
    return Failed(
        kind="other",
        message=f"This repository {why}, and the hub has not converted it",
        mend="Choose another data set or revision, or give a folder with its files",
    )


def no_part(error: UnknownPartError) -> Failed:
    """A config or split must be named, or the one that was is not there."""
    shown = [name if name.isprintable() else repr(name) for name in error.known[:SHOWN]]
    known = ", ".join(shown + ["..."] * (len(error.known) > SHOWN))
    return Failed(
        kind="other",
        message=f"This data set has {f'no {error.part} {error.asked!r}' if error.asked else f'several {error.part}s'}",
        mend=f"Name one of its {error.part}s: {known}" if known else f"Name no {error.part}",
        choices=error.known,
        part=error.part,
    )


def not_run(script: str) -> str:
    """That a program of the repository plays no part."""
    return f"the program {script} of this repository is not run; its data files are taken as they are"


def converted(*, partial: bool) -> str:
    """That the rows are not the author's files."""
    part = ", which holds only the first part of them" if partial else ""
    return f"main has no data files of these rows: taking the hub's own conversion ({CONVERTED}){part}"


def damaged(name: str) -> Failed:
    """A file did not arrive as the hub describes it; it has been deleted."""
    return Failed(kind="other", message=f"{name} did not arrive intact and was deleted", mend=AGAIN)


def interrupted() -> Failed:
    """Somebody asked the download to end."""
    return Failed(
        kind="interrupted",
        message="The download was cancelled; what has arrived is kept",
        mend="Start it again: it goes on from there",
    )


def unexpected(what: str) -> Failed:
    """Whatever has no sentence of its own."""
    return Failed(kind="other", message=f"The download failed ({what})", mend=AGAIN)
