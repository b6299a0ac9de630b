"""A real Chromium, and its pages with their errors and requests."""

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
DESKTOP, PHONE, WALL = (1366, 900), (390, 844), (1920, 1080)


@dataclass
class OpenPage:
    """A page, with the errors and requests since it was opened."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self._collect)
        self.page.on("request", lambda request: self.requests.append(request))

    def skip_to_next_poll(self) -> None:
        """Advance the page's time by 6 s: it polls every 5 s."""
        self.page.clock.fast_forward(6_000)

    def check_accessibility(self) -> None:
        """Check all rules of axe, including its best practices."""
        found = Axe().run(self.page)
        assert found.violations_count == 0, found.generate_report()

    def _collect(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)

    def text(self, name: str) -> str:
        """The text of an element, by its id."""
        return self.page.locator(f"#{name}").inner_text()


@contextmanager
def launched(chromium: Path) -> Iterator[Browser]:
    """A browser, closed at the end of the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def opened(
    browser: Browser,
    url: str,
    *,
    size: tuple[int, int] = DESKTOP,
    theme: str = "light",
    wait: bool = True,
    fake_time: bool = False,
    script: str | None = None,
) -> Iterator[OpenPage]:
    """Open a page in a new session. With `fake_time` the test controls the page's time, see `skip_to_next_poll`.
    `script` runs before the page's own scripts."""
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light"
    )
    try:
        made = OpenPage(context.new_page())
        if fake_time:
            made.page.clock.install()
        if script is not None:
            made.page.add_init_script(script)
        made.page.goto(url)
        if wait:
            made.page.wait_for_selector("#Clock:not([hidden])")
        yield made
    finally:
        context.close()
