"""The page: what it says, that it loads and runs nothing, and that a real browser draws it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from PIL import Image

from edgetool.blame.findings import Blame, LayerBlame, LayerError
from edgetool.blame.histogram import Histogram
from edgetool.report.document import Check, Footprint, PassRow, Placement, Report, Summary
from edgetool.report.html import render
from edgetool.validate.comparison import Trial
from tests.report.conftest import COMPARISON, HELD, MISSED, OPEN, ROW
from tests.report.test_formats import HOSTILE

VOID = frozenset({"meta", "br", "line", "rect", "polyline", "text"})
MOST_BYTES = 2 << 20
ELSEWHERE = {"name": "/nms", "op_type": "NonZero", "place": "CPU", "reason": "no kernel"}


class Page(HTMLParser):
    """Tags that were opened and closed, headings and attributes."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def layer(index: int, *, name: str = "") -> LayerBlame:
    histogram = Histogram(-1.0, 1.0, tuple(range(64)), 0.3, 0.99) if index < 8 else None
    error = LayerError(20.0 + index, 30.0, 18.0, 15.0, 0.99)
    return LayerBlame(
        name or f"/block.{index}/Conv", "Conv", f"t{index}", error, "weights", "exclude it", histogram, histogram
    )


@pytest.fixture
def full(make_report: Callable[..., Report]) -> Report:
    """Everything that a report can have."""
    return replace(
        make_report(verdicts=(HELD, MISSED, OPEN)),
        passes=(PassRow("cast-fp16", {}, True, {"cast": 3}, Footprint(4000, 1000), Footprint(2000, 500)),),
        placement=Placement("GPU", 9, 1, (ELSEWHERE,)),
        blame=Blame(tuple(layer(index) for index in range(12)), 4, 12.0, 0),
        stands_in_for=("jetson",),
    )  # fmt: skip


def test_the_verdict_comes_first(full: Report) -> None:
    source = render(Summary((full,)))
    body = source[source.index("<main") :]
    assert "<title>failed: net 1.2.0 for ort</title>" in source
    assert body.index("budget size: 2.0 KiB, limit 1000 B") < body.index("Budgets") < body.index("Latency")


@pytest.mark.parametrize(
    "said",
    [
        "at most 1000 B", "build on the device", "NonZero", "no kernel", "/block.0/Conv", "cast-fp16", "3.9 KiB",
        "top1", "30.0 dB", "proves nothing for their own hardware", "a CPU", "onnxruntime",
    ],
)  # fmt: skip
def test_it_says_everything(said: str, full: Report) -> None:
    assert said in "".join(Page(render(Summary((full,)))).words)


def test_it_is_well_formed_and_can_be_listened_to(full: Report) -> None:
    page = Page(render(Summary((full, full))))
    assert not page.open
    steps = [after - before for before, after in zip(page.headings, page.headings[1:], strict=False)]
    assert page.headings[0] == 1
    assert max(steps) <= 1
    images = [(tag, value) for tag, name, value in page.attributes if (name, value) == ("role", "img")]
    labels = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert len(images) == len(labels)
    assert all(labels)


def test_nothing_is_loaded_and_nothing_runs(full: Report) -> None:
    source = render(Summary((full,)))
    assert not re.search(r"<script|\bon\w+=|javascript:|<link|<img|@import|url\(", source)
    assert not re.search(r"https?://", source)
    assert "default-src 'none'" in source


def test_names_stay_names(full: Report) -> None:
    bad = replace(
        full,
        model=HOSTILE,
        checks=(Check("x", HOSTILE, "failed", HOSTILE, HOSTILE, (HOSTILE,)),),
        blame=Blame((layer(0, name=HOSTILE),), 1, 1.0, 0),
        comparison=replace(COMPARISON, trials=(Trial("random", HOSTILE, 1, (replace(ROW, output=HOSTILE),)),)),
        environment={HOSTILE: HOSTILE},
        facts={HOSTILE: HOSTILE},
    )
    source = render(Summary((bad, bad)))
    assert "<script" not in source
    assert not Page(source).open
    source.encode()


def test_large_networks_stay_light(full: Report) -> None:
    layers = tuple(
        layer(index, name=f"/encoder/layers.{index}/self_attn/out_proj/MatMul_quantized") for index in range(300)
    )
    rows = tuple({"name": f"n{index}", "op_type": "Conv", "place": "CPU", "reason": "why"} for index in range(200))
    big = replace(full, blame=Blame(layers, 4, 12.0, 0), placement=Placement("GPU", 300, 300, rows))
    assert len(render(Summary((big,))).encode()) < MOST_BYTES


@pytest.fixture
def browser(require_tool: Callable[[str], str], tmp_path: Path) -> Callable[..., bytes]:
    """Opens a page in headless Chromium and gives back what it printed, or the picture."""
    program = require_tool("chromium")

    def run(source: str, *arguments: str, result: str | None = None) -> bytes:
        (tmp_path / "page.html").write_text(source)
        fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={tmp_path}/user")
        done = subprocess.run(
            [program, *fixed, *arguments, f"file://{tmp_path}/page.html"],
            capture_output=True, timeout=120, check=True, cwd=tmp_path,
        )  # fmt: skip
        return (tmp_path / result).read_bytes() if result else done.stdout

    return run


@pytest.mark.slow
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (390, True)])
def test_a_browser_draws_it(
    width: int, dark: bool, full: Report, browser: Callable[..., bytes], tmp_path: Path
) -> None:
    scheme = "--blink-settings=preferredColorScheme=0" if dark else "--blink-settings=preferredColorScheme=1"
    browser(render(Summary((full,))), scheme, f"--window-size={width},2000", "--screenshot=page.png", result="page.png")
    with Image.open(tmp_path / "page.png") as picture:
        pixels = picture.convert("RGB")
        corner = pixels.getpixel((2, 2))
        colours = len(set(pixels.resize((200, 400)).getdata()))
    assert isinstance(corner, tuple)
    assert (sum(corner) < 150) == dark
    assert colours > 50


@pytest.mark.slow
def test_no_part_is_wider_than_a_phone(full: Report, browser: Callable[..., bytes]) -> None:
    probe = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script>"
    source = render(Summary((full,)))
    # The page forbids scripts: the probe gets in only where that rule is taken out.
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", source).replace(
        "</body>", probe + "</body>"
    )
    found = re.search(rb"<title>(\d+) of (\d+)</title>", browser(open_page, "--window-size=500,900", "--dump-dom"))
    assert found
    assert int(found[1]) <= int(found[2])
    blocked = browser(source.replace("</body>", probe + "</body>"), "--dump-dom")
    assert b"<title>failed: net" in blocked


@pytest.mark.slow
def test_it_prints(full: Report, browser: Callable[..., bytes]) -> None:
    pdf = browser(render(Summary((full,))), "--print-to-pdf=page.pdf", "--no-pdf-header-footer", result="page.pdf")
    assert pdf.startswith(b"%PDF-")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) >= 2
