"""Where the data lie that a person named: a path as it is, a data set of the hub in the cache its download filled."""

from kto_tui.data.sources import STARTER
from kto_tui.errors import UserError
from kto_tui.hub.cache import cached_dataset
from kto_tui.hub.data_files import dataset_id
from kto_tui.repository import read_part


def path_of(data: str, config: str | None = None, split: str | None = None) -> str:
    """``data`` with the id of a data set replaced by its folder; ``#SPLIT`` or ``#CONFIG/SPLIT`` may follow an id.

    Raises:
        UserError: it is the id of a data set that is not here.
    """
    name, mark, part = data.partition("#")
    if data == STARTER or (found := dataset_id(name)) is None:
        return data
    if mark:
        config, split = read_part(part)
    folder = cached_dataset(found, config=config, split=split)
    if folder is None:
        asked = "".join(f" --{flag} {value}" for flag, value in (("config", config), ("split", split)) if value)
        raise UserError(
            "This data set of the hub is not on this machine yet",
            mend=f"Get it: kto-tui download --dataset {found}{asked}",
            where=found,
        )
    return f"{folder}{mark}{part}"
