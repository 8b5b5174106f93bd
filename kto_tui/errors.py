"""The one exception that reaches a person: what is wrong, where, and how to mend it."""


class UserError(Exception):
    """Bad input or a machine that cannot do what was asked; shown as one sentence, never as a traceback.

    Args:
        what: what is wrong, starting with a capital letter, without a closing full stop.
        mend: what the person can do about it, an imperative without a closing full stop.
        where: file, ``file:line``, field or device the sentence is about.
    """

    def __init__(self, what: str, *, mend: str, where: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.mend = mend
        self.where = where

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"{place}{self.what}. {self.mend}."
