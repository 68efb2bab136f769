r"""The text of one template with its location: turns offsets into lines and columns. Only "\n" ends a line."""

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

from tasks.spintax.errors import Location, SpintaxError, SpintaxWarning


@dataclass(frozen=True)
class Source:
    """A template's text with its location; `column` is the column at which each of its lines begins."""

    text: str
    name: str = "template"
    line: int = 1
    column: int = 1

    @cached_property
    def _newlines(self) -> list[int]:
        return [offset for offset, char in enumerate(self.text) if char == "\n"] if "\n" in self.text else []

    def position(self, offset: int) -> tuple[int, int]:
        """Return the line and the column of the code point at `offset`."""
        row, begin = self._row(offset)
        return self.line + row, self.column + offset - begin

    def error(self, code: str, message: str, hint: str, offset: int) -> SpintaxError:
        """Return, not raise, the error for the code point at `offset`."""
        row, begin = self._row(offset)
        end = self._newlines[row] if row < len(self._newlines) else len(self.text)
        location = Location(self.name, *self.position(offset), self.text[begin:end], offset - begin)
        return SpintaxError(code, message, hint, location)

    def warning(self, code: str, message: str, offset: int) -> SpintaxWarning:
        """Return the warning for the code point at `offset`."""
        return SpintaxWarning(code, message, *self.position(offset))

    def _row(self, offset: int) -> tuple[int, int]:
        row = bisect_left(self._newlines, offset)
        return row, self._newlines[row - 1] + 1 if row else 0
