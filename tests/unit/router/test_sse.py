"""The event-stream parser: the same events however the bytes are split."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beacon.router.transports.sse import SseParser


def parse(*chunks: bytes) -> list[tuple[bytes, bytes]]:
    parser = SseParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return events + parser.finish()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\ndata: two\n\n", [(b"", b"one"), (b"", b"two")]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", [(b"", b"one"), (b"", b"two")]),
        (b"data: one\r\rdata: two\r\r", [(b"", b"one"), (b"", b"two")]),
        (b"data:one\n\n", [(b"", b"one")]),
        (b"data:  two blanks\n\n", [(b"", b" two blanks")]),
        (b"data: one\ndata: more\n\n", [(b"", b"one\nmore")]),
        (b": keep-alive\n\ndata: one\n\n: again\n\n", [(b"", b"one")]),
        (b"event: error\ndata: broken\n\ndata: fine\n\n", [(b"error", b"broken"), (b"", b"fine")]),
        (b"event: error\n\ndata: fine\n\n", [(b"", b"fine")]),
        (b"error: {}\n\n", [(b"error", b"{}")]),
        (b"id: 7\nretry: 10\nunknown: x\ndata\ndata: one\n\n", [(b"", b"\none")]),
        (b"data: \n\ndata: one\n\n", [(b"", b"one")]),
        (b"\xef\xbb\xbfdata: one\n\n", [(b"", b"one")]),
        (b"data: [DONE]", [(b"", b"[DONE]")]),
        (b"data: one\n\ndata: two\n", [(b"", b"one"), (b"", b"two")]),
        (b"", []),
    ],
)
def test_events_of_a_stream(stream: bytes, events: list[tuple[bytes, bytes]]) -> None:
    assert parse(stream) == events
    assert parse(*(stream[n : n + 1] for n in range(len(stream)))) == events


def test_an_event_is_there_as_soon_as_its_blank_line_has_come() -> None:
    parser = SseParser()
    assert parser.feed(b"data: one\n") == []
    assert parser.feed(b"\nda") == [(b"", b"one")]
    assert parser.feed(b"ta: two\r\n\r") == [(b"", b"two")]
    assert parser.feed(b"\ndata: three\n\n") == [(b"", b"three")]


line_ends = st.sampled_from([b"\n", b"\r\n", b"\r"])
payloads = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1)


@settings(deadline=None)
@given(data=st.data(), texts=st.lists(payloads, max_size=8), end=line_ends)
def test_splitting_changes_nothing(data: st.DataObject, texts: list[str], end: bytes) -> None:
    extras = st.sampled_from([b"", b": comment" + end, b"id: 1" + end])
    stream = b"".join(data.draw(extras) + b"data: " + text.encode() + end + end for text in texts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert parse(*chunks) == [(b"", text.encode()) for text in texts]
