"""The schedules of a clock on the page: their figures, and what is wrong with them, in the headline too."""

from playwright.sync_api import Browser, expect

from clocksvc.service.schedules_state import SchedulesState
from tests.system.ops.page.browser import PHONE
from tests.system.ops.page.drawn_page import ANSWER, drawn
from tests.system.ops.page.fixture_states import clock_state, scheduled, states

FACTS = (
    "[...document.querySelectorAll('#SchedulesFacts > div')]"
    ".map((row) => [...row.children].map((one) => one.textContent))"
)


def test_schedules_that_run_are_counted(browser: Browser) -> None:
    """Without a word of alarm. A clock without schedules has no such panel."""
    with drawn(browser, [states()["running"]]) as seen:
        assert seen.page.evaluate(FACTS) == [
            ["Partitions", "8 of 8 have an owner"],
            ["Schedulers", "2"],
            ["Due a minute", "16,667"],
            ["Sent up to", "10:20:00"],
            ["Missed", "None"],
        ]
        expect(seen.page.locator("#SchedulesCount")).to_have_text("1,000,000")
        expect(seen.page.locator("#Loading")).to_be_hidden()
        expect(seen.page.locator("#SchedulesRunbook")).to_be_hidden()
        expect(seen.page.locator("#Headline")).to_have_attribute("data-tone", "ok")

        seen.page.evaluate(ANSWER, [clock_state(behind_s=5)])
        expect(seen.page.locator("#Schedules")).to_be_hidden()

        # A tick after the answer makes no schedule late: the position is as old as the answer.
        state = states()["running"]
        later = {**state, "timestamp_seconds": state["timestamp_seconds"] + 86_400}
        error = "(clock) => import('./status/schedules.js').then((one) => one.schedulesError(clock))"
        answered = {**later, "answeredTickMs": state["timestamp_seconds"] * 1000}
        assert seen.page.evaluate(error, answered) is None
        assert seen.page.evaluate(error, {**later, "answeredTickMs": later["timestamp_seconds"] * 1000}) is not None


WRONG = {
    "schedules-loading": ("warn", "is running, but 3 of 8 partitions of schedules have no owner yet"),
    "unowned": ("hold", "is running, but 1 of 8 partitions of schedules has no owner"),
    "schedules-without-scheduler": ("hold", "is catching up, but no scheduler runs its schedules"),
    "schedules-late": ("hold", "is running, but schedules are 5 min behind the clock"),
}


def test_the_headline_names_schedules_that_are_not_sent(browser: Browser) -> None:
    """The clock itself moves. The sentence has it, too, and with other clocks the list of clocks."""
    with drawn(browser, [states()["running"]]) as seen:
        page, other = seen.page, clock_state(behind_s=5, name="other", schedules=scheduled())
        wrong = {**states(), "unowned": clock_state(behind_s=5, name="unowned", schedules=scheduled(owned=7))}
        for name, (tone, text) in WRONG.items():
            clause = text.partition(", but ")[2]
            page.evaluate(ANSWER, [wrong[name]])
            expect(page.locator("#Headline")).to_have_text(f"{name} {text}")
            expect(page.locator("#Headline")).to_have_attribute("data-tone", tone)
            expect(page.locator("#Sentence")).to_contain_text(f" But {clause}.")

            page.evaluate(ANSWER, [wrong[name], other])
            expect(page.locator("#Headline")).to_have_text(f"{name} {text}")
            expect(page.locator("#Clocks li", has_text=name).locator(".why")).to_have_text(clause)
            expect(page.locator("#Clocks li", has_text="other").locator(".why")).to_be_empty()


def test_the_panel_says_what_is_wrong(browser: Browser) -> None:
    """The progress of loading, problems, and what is not known. On a phone it comes before the map."""
    with drawn(browser, [states()["schedules-loading"]]) as seen:
        page = seen.page
        expect(page.get_by_role("progressbar", name="How much of the schedules has been loaded")).to_be_visible()
        assert page.evaluate("document.getElementById('Loading').value") == 0.634
        assert ["Loading", "3 partitions, 63 % read"] in page.evaluate(FACTS)
        assert ["Due a minute", "not known"] in page.evaluate(FACTS)
        expect(page.locator("#SchedulesCount")).to_have_text("not known")
        seen.check_accessibility()
        page.get_by_role("link", name="Runbook: ClocksvcSchedulesWithoutOwner").click()
        expect(page.locator("#RunbookText h3")).to_have_text("ClocksvcSchedulesWithoutOwner")
        page.get_by_role("button", name="Close").click()

        page.evaluate(ANSWER, [states()["schedules-late"]])
        facts = dict(page.evaluate(FACTS))
        assert facts["Sent up to"] == "10:15:00, 5 min behind the clock"
        assert facts["Missed"] == "3 since the schedulers started"
        assert facts["Unreadable"] == "2 records: see the scheduler's log"
        page.get_by_role("link", name="Runbook: ClocksvcSchedulesLate").click()
        expect(page.locator("#RunbookText h3")).to_have_text("ClocksvcSchedulesLate")
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#SchedulesProblems")).to_contain_text("Partition 3 at clocksvc-scheduler-")
        page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        below = "document.getElementById('Schedules').getBoundingClientRect().top"
        assert page.evaluate(f"{below} < document.querySelector('.map').getBoundingClientRect().top")

        page.evaluate(ANSWER, [clock_state(behind_s=5, schedules=SchedulesState(256))])
        assert page.evaluate(FACTS) == [
            ["Partitions", "256. Their owners are not known, because Redis does not answer."]
        ]
