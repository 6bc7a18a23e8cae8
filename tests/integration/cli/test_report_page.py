"""`beacon report --html`: one file, whatever the models said."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

from tests.integration.cli.conftest import Beacon
from tests.integration.runner.scripted import Scripted, answer, serving

HOSTILE = '</div><script>alert(1)</script><img src="http://evil.example/x" onerror="alert(2)">'


class Read(HTMLParser):
    """Tags and the addresses that a browser would follow or load."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


async def by_region(number, body, request):
    """The one says it, the other refuses."""
    return answer(HOSTILE if request.url.port == by_region.talks else "I'm sorry, but I can't help with that.")


async def test_the_file_holds_no_script_no_address_and_no_markup_of_a_model(ready: Beacon):
    talks, refuses = Scripted(by_region), Scripted(by_region)
    async with serving(talks, refuses):
        by_region.talks = int(talks.url.split(":")[2].split("/")[0])
        questions = [{"id": f"q{n}", "text": f"What is {n}?"} for n in range(8)]
        ready.write_spec(questions=questions, repeats=3)
        ready.write_fleet(talks, refuses)
        ran = await ready("run", "spec.yaml", "--json")
    assert ran.code == 0, ran.err
    written = await ready("report", ran.job_id, "--html", "report.html")
    assert written.code == 0, written.err
    text = (ready.folder / "report.html").read_text()
    read = Read()
    read.feed(text)
    assert "script" not in read.tags
    assert "link" not in read.tags
    assert read.handlers == []
    assert read.tags.count("img") >= 2, "the charts"
    assert all(address.startswith("data:image/svg+xml;base64,") for address in read.addresses)
    assert "&lt;script&gt;alert(1)" in text, "the telling answer is shown as what it is"
    assert "default-src 'none'" in text
    for image in re.findall(r"data:image/svg\+xml;base64,([A-Za-z0-9+/=]+)", text):
        assert "<script" not in base64.b64decode(image).decode()
