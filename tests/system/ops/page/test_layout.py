"""Nothing is clipped or wider than the window: each status and cause of a hold, four widths, both themes."""

from collections.abc import Iterator

from playwright.sync_api import Browser, Page

from tests.system.ops.page.drawn_page import ANSWER, drawn
from tests.system.ops.page.fixture_states import causes, clock_state, states

WIDTHS = (390, 1024, 1280, 1920)
HEIGHT = 900
MANY, SHOWN = 2_000, 60
MEASURE = """(inside) => {
  const found = [], root = document.documentElement, area = document.querySelector(inside);
  const visible = (element) => element.checkVisibility() && !element.closest(".visually-hidden, .skip");
  if (root.scrollWidth > root.clientWidth) found.push(`the page is ${root.scrollWidth} px wide`);
  for (const box of area.querySelectorAll(".panel, .scroll, #Overview *, #State *")) {
    if (box.scrollWidth > box.clientWidth + 1 && box.clientWidth && visible(box)) {
      found.push(`${box.tagName} ${box.id || box.className}: ${box.scrollWidth} px in ${box.clientWidth} px`);
    }
  }
  const texts = document.createTreeWalker(area, NodeFilter.SHOW_TEXT), range = document.createRange();
  let count = 0;
  for (let node = texts.nextNode(); node; node = texts.nextNode()) {
    const element = node.parentElement, text = node.textContent.trim();
    if (!text || !visible(element)) continue;
    count += 1;
    range.selectNodeContents(node);
    const lines = [...range.getClientRects()];
    const box = (element.closest(".panel, #Clocks a") ?? root).getBoundingClientRect();
    if (lines.some((line) => line.right > box.right + 1 || line.left < box.left - 1)) found.push(`clipped: ${text}`);
    if (element.className === "unbroken" && lines.length > 1) found.push(`broken: ${text}`);
    if (/^[–—-]$|undefined|NaN|(?<!heartbeat: )\\bnull\\b/.test(text)) found.push(`no text for a person: ${text}`);
  }
  return [count, found];
}"""
"""Returns how many texts were looked at in a part of the page, and what is wrong with the layout there."""
SELECT_EACH = f"""async (names) => {{
  const found = [];
  for (const name of names) {{
    location.hash = name;
    const shown = () => document.getElementById("ClockName").textContent === name;
    for (let turn = 0; turn < 1000 && !shown(); turn += 1) await new Promise((done) => setTimeout(done));
    const [count, wrong] = ({MEASURE})("#Clock");
    found.push(...wrong.map((one) => `${{name}}: ${{one}}`), ...(count < 40 ? [`${{name}}: ${{count}} texts`] : []));
  }}
  return found;
}}"""
"""Selects each of these clocks, and returns what is wrong with its layout."""
ANSWER_EACH = f"""async (states) => {{
  const found = [];
  for (const state of states) {{
    await ({ANSWER})([state]);
    const name = document.getElementById("ClockName").textContent;
    if (name !== state.clock) found.push(`${{name}} instead of ${{state.clock}}`);
    const [count, wrong] = ({MEASURE})("body");
    found.push(...wrong.map((one) => `${{name}}: ${{one}}`), ...(count < 100 ? [`${{name}}: ${{count}} texts`] : []));
  }}
  return found;
}}"""
"""Answers the page's requests with each of these states, and returns what is wrong with its layout."""


def each_size(page: Page) -> Iterator[str]:
    """Set each width, and for each width both themes. Yields what is set."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": HEIGHT})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            yield f"{width} px, {theme}"


def test_one_clock_in_each_state(browser: Browser) -> None:
    """With the table of all partitions open."""
    every = list((states() | causes()).values())
    with drawn(browser, every) as seen:
        seen.page.get_by_text("All partitions as a table").click()
        found = [f"{size}: {one}" for size in each_size(seen.page) for one in seen.page.evaluate(ANSWER_EACH, every)]

        assert found == []


def test_two_thousand_clocks(browser: Browser) -> None:
    """A page of the list of clocks with search, statuses and pager, and each selected clock below it."""
    every = states() | causes()
    others = [clock_state(behind_s=5, name=f"customer-{number:04}") for number in range(MANY - len(every))]
    with drawn(browser, [*every.values(), *others]) as seen:
        found = []
        for size in each_size(seen.page):
            count, wrong = seen.page.evaluate(MEASURE, "body")
            assert count > 3 * SHOWN
            wrong += seen.page.evaluate(SELECT_EACH, list(every))
            found += [f"{size}: {one}" for one in wrong]

        assert found == []
        assert seen.page.locator("#Clocks li").count() == SHOWN
