"""Text of others, numbers, durations and moments as pages show them.

Model output, question packs and provider messages are untrusted: they are shown as text, with characters that
cannot be seen, or that turn the direction of what follows, shown as their codes (invariant hostile-output).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

_NAMED = {
    0x00: "NUL",
    0x07: "BEL",
    0x08: "BS",
    0x0B: "VT",
    0x0C: "FF",
    0x0D: "CR",
    0x1B: "ESC",
    0x7F: "DEL",
    0xAD: "SHY",
}
# Control characters but tab and line feed, and Unicode's default ignorable characters: joiners, direction
# marks and overrides, separators, fillers, tags, variation selectors of ideographs.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def code_of(character: str) -> str:
    """`U+202E`, or the short name of a well-known control character."""
    code = ord(character)
    return _NAMED.get(code) or f"U+{code:04X}"


def visible(text: str | None) -> Markup:
    """Untrusted text as markup: escaped, and every unseen character as its code."""
    if not text:
        return Markup("")
    parts, end = [], 0
    text = text.replace("\r\n", "\n")
    for found in _UNSEEN.finditer(text):
        parts += [escape(text[end : found.start()]), Markup('<b class="ctl">{}</b>').format(code_of(found[0]))]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def unseen(text: str | None) -> int:
    """How many characters `visible` shows as codes."""
    return len(_UNSEEN.findall((text or "").replace("\r\n", "\n")))


def plain(text: str | None) -> str:
    """Untrusted text for attributes, titles and logs: unseen characters and line ends as codes in brackets."""
    flat = _UNSEEN.sub(lambda found: f"[{code_of(found[0])}]", text or "")
    return flat.replace("\n", " ").replace("\t", " ")


def sentence(text: str) -> str:
    """With a capital at its start and a full stop at its end, and its lines as one."""
    line = " ".join(text.split())
    return line[:1].upper() + line[1:] + ("" if not line or line[-1] in ".!?…" else ".")


def cut(text: str | None, most: int) -> str:
    """The beginning of a long text, with an ellipsis."""
    text = text or ""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def number(value: float) -> str:
    return f"{value:,.0f}"


def counted(value: int, noun: str, plural: str | None = None) -> str:
    return f"{value:,} {noun if value == 1 else plural or noun + 's'}"


def duration(ms: float | None) -> str | None:
    """`12 ms`, `5.9 s`, `3 min 8 s`, `2 h 5 min`; None stays None, for `unknown`."""
    if ms is None:
        return None
    seconds = ms / 1000
    if ms < 0.05:
        return "<0.1 ms" if ms > 0 else "0 ms"
    if seconds < 0.0995:
        return f"{ms:.1f} ms" if ms < 9.95 else f"{ms:.0f} ms"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 100:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def moment(at: float | None, *, fine: bool = False) -> str | None:
    """The time of day in UTC, to the second or, where `fine`, to the millisecond."""
    if at is None:
        return None
    when = datetime.fromtimestamp(at, UTC)
    return when.strftime("%H:%M:%S") + (f".{when.microsecond // 1000:03d}" if fine else "")


def day(at: float, now: float) -> str:
    """`today`, `yesterday`, `24 November`, with the year where it is another."""
    when, today = datetime.fromtimestamp(at, UTC).date(), datetime.fromtimestamp(now, UTC).date()
    if (today - when).days in (0, 1):
        return "today" if today == when else "yesterday"
    year = f" {when.year}" if when.year != today.year else ""
    return f"{when.day} {when.strftime('%B')}{year}"


def stamp(at: float | None) -> str | None:
    """Day and time to the minute, in UTC: `2026-11-29 14:05`."""
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def iso(at: float | None) -> str | None:
    """RFC 3339 in UTC, to the millisecond."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def dollars(value: float) -> str:
    """With as many digits as say something: `$4.27`, `$0.118`, `$0.00041`."""
    if value == round(value):
        return f"${value:,.0f}"
    digits = 2 if value >= 1 else 3 if value >= 0.01 else 5
    return f"${value:,.{digits}f}"


def signed(value: float, digits: int = 0) -> str:
    """With a sign, and a real minus: `+35`, `−3`, `0`."""
    shown = f"{abs(value):.{digits}f}"
    if not shown.strip("0."):
        return "0"
    return ("+" if value > 0 else "−") + shown


def words(status: str) -> str:
    """A status of the database as the screen says it."""
    return status.replace("_", " ")


def css(status: str) -> str:
    """A status of the database as part of a class name."""
    return status.replace("_", "-")
