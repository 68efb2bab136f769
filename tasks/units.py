"""Numbers, counts, sizes and durations as a person reads them."""

from decimal import Decimal

_EXACT = 10**40
_MIB, _GIB = 2**20, 2**30


def number(value: float | None) -> str:
    """Whole numbers in full below 10^40; others to four significant digits, without decimals from 1,000 on."""
    if value is None:
        return "unknown"
    if isinstance(value, int):
        return f"{value:,}" if value < _EXACT else f"{Decimal(value):.2e}"
    if value.is_integer() or value >= 999.95:
        return f"{value:,.0f}"
    return f"{value:#,.4g}"


def percent(share: float | None) -> str:
    """A share, in percent to one digit."""
    return "unknown" if share is None else f"{100 * share:.1f} %"


def count(number: int, thing: str) -> str:
    """A number and its noun, in the plural where it is not one."""
    return f"{number:,} {thing}" + ("" if number == 1 else "s")


def size(number: int) -> str:
    """Bytes in MiB or GiB."""
    return f"{number / _GIB:,.2f} GiB" if number >= _GIB else f"{number / _MIB:,.1f} MiB"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours, to two digits or so."""
    if seconds < 1:
        return f"{1000 * seconds:,.0f} ms"
    if seconds < 90:
        return f"{seconds:,.1f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:,.1f} h"
