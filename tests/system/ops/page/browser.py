"""A real Chromium, and what it says of a page: errors, requests, its own measurements."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESK, PHONE, WALL = (1366, 900), (390, 844), (1920, 1080)


@dataclass
class Opened:
    """A page, with all that went wrong on it and all that it asked for."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._listen)
        self.page.on("request", lambda request: self.requests.append(request))

    def hurry(self) -> None:
        """Let the page's time go on by more than the 5 s after which it asks again."""
        self.page.clock.fast_forward(6_000)

    def check_rules(self) -> None:
        """Every rule of axe, those of best practice too."""
        found = Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()

    def _listen(self, said: ConsoleMessage) -> None:
        if said.type in ("error", "warning"):
            self.errors.append(said.text)

    def text(self, name: str) -> str:
        """What an element says, by its id."""
        return self.page.locator(f"#{name}").inner_text()


@contextmanager
def launched(chromium: Path) -> Iterator[Browser]:
    """One browser until the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    size: tuple[int, int] = DESK,
    theme: str = "light",
    wait: bool = True,
    hurried: bool = False,
) -> Iterator[Opened]:
    """The page at an address, in a tab and a session of its own. `hurried`: its time can be moved on, see `hurry`."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light"
    )
    try:
        made = Opened(context.new_page())
        if hurried:
            made.page.clock.install()
        made.page.goto(url)
        if wait:
            made.page.wait_for_selector("#Clock:not([hidden])")
        yield made
    finally:
        context.close()
