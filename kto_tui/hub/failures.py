"""What huggingface_hub's exceptions mean, as the sentences of ``kto_tui.hub.sentences``."""

import errno

from huggingface_hub import errors

from kto_tui.hub import sentences
from kto_tui.hub.request import Request
from kto_tui.hub.settings import token_known
from kto_tui.hub.updates import Failed
from kto_tui.paths import hub_cache
from kto_tui.repository import UnknownPartError

# The HTTP library's own base class, by whichever name huggingface_hub uses that library.
NetworkError: type[Exception] = errors.HTTPError  # type: ignore[attr-defined]


class Refused(Exception):  # noqa: N818 - an answer, not an error
    """The download cannot go on, for a reason that has its sentence already."""

    def __init__(self, failed: Failed) -> None:
        super().__init__(failed.message)
        self.failed = failed


def explain(error: BaseException, asked: Request) -> Failed:
    """Why the download ended. No text of the exception is passed on: it may hold signed addresses."""
    if isinstance(error, NetworkError) and not isinstance(error, errors.HfHubHTTPError):
        return sentences.unreachable(type(error).__name__)
    match error:
        case Refused():
            return error.failed
        case UnknownPartError():
            return sentences.no_part(error)
        case errors.HFValidationError():
            return sentences.not_an_id(asked.repo_type)
        case errors.OfflineModeIsEnabled():
            return sentences.told_to_stay_offline(asked.repo_type)
        case errors.HfHubHTTPError():
            return _explain_answer(error, asked)
        case errors.LocalEntryNotFoundError():
            cause = error.__cause__
            return explain(cause, asked) if cause is not None else sentences.unreachable("no answer")
        case errors.FileMetadataError():
            return sentences.not_a_hub()
        case OSError():
            return _explain_disk(error)
        case _:
            return sentences.unexpected(type(error).__name__)


def _explain_answer(error: errors.HfHubHTTPError, asked: Request) -> Failed:
    status = error.response.status_code
    # With a good token what is missing is 404 and what is gated 403: 401 then means that the token itself is refused.
    if status == 401 and token_known():
        return sentences.token_refused()
    match error:
        case errors.GatedRepoError():
            return sentences.gated(asked.id, asked.repo_type)
        case errors.DisabledRepoError():
            return sentences.disabled(asked.repo_type)
        case errors.RevisionNotFoundError():
            return sentences.revision_missing(asked.revision, asked.repo_type)
        case _ if status in {401, 404}:
            return sentences.missing(asked.repo_type)
        case _ if status == 403:
            return sentences.token_too_weak(asked.repo_type)
        case _:
            return sentences.server_error(status)


def _explain_disk(error: OSError) -> Failed:
    where = str(hub_cache())
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return sentences.no_room(0, None, where)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST}:
        return sentences.unwritable(error.strerror or type(error).__name__, where)
    return sentences.unexpected(type(error).__name__)
