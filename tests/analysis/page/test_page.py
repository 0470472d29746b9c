"""The report page: what it says of a store with faults, and how it behaves in a browser."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from analysis_store import curve, key_rows, object_rows, plan_row, proven, trial, whole_curve, write_study
from axe_playwright_python.sync_playwright import Axe
from browser import FLAGS, BrowserError, chromium
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, expect, sync_playwright

from analysis.errors import AnalysisError
from analysis.figures.palette import styles
from analysis.page.build import html, write
from analysis.page.figures import legend, on_dark
from study.cli.main import main
from study.store.store import Store

HOSTILE = '</script><img src=x onerror="alert(1)">\x9b31m\u202e'
ARMS = ("baseline", "encoder=mlp", "tcn=none", "model=corelnet", "model=lstm")


def faulty(folder: Path) -> str:
    """A study with completed, failed and missing trials, a rehearsal, keys, curves and names that are HTML."""
    completed = [
        proven("same_different", m, arm, seed, 0.9 + 0.02 * seed)
        for m in (0, 5)
        for arm in ARMS
        for seed in (0, 1)
        if (m, arm) != (5, "model=lstm")
    ]
    failed = trial("same_different", 5, "model=lstm", 0, failure=HOSTILE)
    missing = trial("same_different", 5, "model=lstm", 1)
    keyed = proven("distribution_of_three", 0, "baseline", 0, 0.97)
    rehearsal = trial("same_different", 0, "encoder=mlp", 0, 0.1, trial_id="rehearsed", rehearsal=True)
    trained = [*completed, failed, keyed]
    results = write_study(folder, "s", [*trained, missing], [*trained, rehearsal])
    store = Store(results)
    about = {"question": f"Does {HOSTILE} matter?", "source": "Table 9"}
    store.write("plans", "s", [{**plan_row("s", row, keys=row is keyed), **about} for row in [*trained, missing]])
    store.write("keys", keyed["trial_id"], key_rows(keyed["trial_id"]))
    store.write("objects", "glyphs", [{**row, "name": HOSTILE} for row in object_rows("glyphs")])
    for row in completed:
        store.write("curves", row["trial_id"], curve(row["trial_id"], [0.5, 0.7, 0.8 + 0.1 * row["seed"]]))
    learned = [0.5] * 5 + [1.0] * 20
    store.write("curves", keyed["trial_id"], whole_curve(keyed["trial_id"], learned))
    return results


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> str:
    return faulty(tmp_path_factory.mktemp("faulty"))


@pytest.fixture(scope="module")
def text(results: str) -> str:
    return html(results, "s", "s.yaml", "baseline")


def section(text: str, name: str) -> str:
    return text.partition(f'<section id="{name}">')[2].partition("</section>")[0]


def rows_of(part: str) -> list[list[str]]:
    """The cells of all tables of a part of the page, as text."""
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(<td.*?)</tr>", part)]


def test_coverage_counts_what_is_lacking_and_leaves_rehearsals_out(text: str) -> None:
    part = section(text, "coverage")
    assert re.findall(r"<dt>trials (\w+)</dt><dd>(\d+)", part) == [
        ("completed", "19"),
        ("failed", "1"),
        ("missing", "1"),
    ]
    assert ["same_different", "5", "model=lstm", "2", "0", "1", "1"] in rows_of(part)
    assert "0.1" not in section(text, "trials")
    assert "10.0" not in [row[5] for row in rows_of(section(text, "trials"))]


def test_trials_are_rows_with_their_accuracy_only_if_completed(text: str) -> None:
    rows = {tuple(row[:4]): row for row in rows_of(section(text, "trials"))}
    assert len(rows) == 21
    assert rows["same_different", "0", "tcn=none", "1"][4:8] == ["completed", "92.0", "25", "4.0"]
    assert rows["same_different", "5", "model=lstm", "0"][4:6] == ["failed", "—"]
    assert rows["same_different", "5", "model=lstm", "1"][4:6] == ["missing", "—"]


def test_cost_is_threads_times_the_share_of_the_pack(text: str) -> None:
    assert rows_of(section(text, "cost")) == [["cpu", "CPU", "19", "475", f"{19 * 4 * 2}", f"{1000 * 4 / 25:.1f}"]]


def test_convergence_has_table_and_steps_in_the_range_of_the_paper(text: str) -> None:
    part = section(text, "convergence")
    rows = {tuple(row[:3]): row for row in rows_of(part)}
    assert rows["distribution_of_three", "0", "baseline"][3:] == ["1/1", "0", "14", "14 —", "100-200"]
    assert rows["same_different", "5", "model=lstm"][3:] == ["0/2", "—", "—", "—", "—"]
    drawn = json.loads(text.partition('id="plots">')[2].partition("</script>")[0])
    (figure,) = drawn["convergence"]
    (trace,) = figure["data"]
    assert (trace["x"], trace["y"], trace["line"]["shape"]) == ([1, 14], [0, 100], "hv")
    (band,) = figure["layout"]["shapes"]
    assert (band["x0"], band["x1"]) == (100, 200)


def test_protocol_tells_common_settings_from_those_of_a_variant(text: str) -> None:
    rows = rows_of(section(text, "protocol"))
    assert ["n_train", "100"] in rows
    assert ["same_different", "5", "tcn=none", "arm = tcn=none; task = same_different; withheld = 5"] in rows


def test_page_names_the_commands_that_make_it(results: str, text: str) -> None:
    commands = section(text, "commands")
    for command in ("git checkout 0123abcd", f"esbn run s.yaml --results {results}", "esbn report s.yaml"):
        assert command in commands


def test_page_escapes_what_users_name(text: str) -> None:
    assert HOSTILE not in text
    assert "<img" not in text
    said = re.sub(r"<(style|script).*?</\1>", "", text, flags=re.DOTALL).replace("\n", "")
    assert said.isprintable()
    assert said.count(r"\x9b31m\u202e") == 2  # the question and the failure
    assert "Does &lt;/script&gt;" in text


def test_page_is_the_same_every_time(results: str, text: str) -> None:
    assert html(results, "s", "s.yaml", "baseline") == text


def test_page_refuses_a_study_without_results(tmp_path: Path) -> None:
    store = write_study(tmp_path / "store", "s", [trial("rmts", 0, "baseline", 0)], trained=[])
    with pytest.raises(AnalysisError, match="study='s' has no completed trial to report yet"):
        write(store, "s", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_page_refuses_a_baseline_that_is_no_arm(results: str) -> None:
    with pytest.raises(AnalysisError, match="baseline='encoder=mlq' is not an arm of s.*did you mean 'encoder=mlp'"):
        html(results, "s", "s", "encoder=mlq")


def test_page_of_one_trial_says_why_there_is_no_verdict_and_no_comparison(tmp_path: Path) -> None:
    store = write_study(tmp_path, "s", [trial("own_task", 3, "baseline", 0, 0.5)])
    text = html(store, "s", "s", "baseline")
    assert "The paper has no value for these variants." in section(text, "verdicts")
    assert "has only the arm" in section(text, "comparison")
    assert "0 of" not in section(text, "audit")
    assert "FAILED" in section(text, "audit")
    assert 'id="keys"' not in text


def test_command_writes_the_page_and_names_it(results: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["report", "s", "--results", results, "-o", str(tmp_path / "page")])
    assert (done.exit_code, done.output) == (0, f"{tmp_path / 'page' / 'index.html'}\n")


def test_every_style_has_a_symbol_and_a_colour_for_dark_pages() -> None:
    arms = ["baseline", *ARMS[1:], *(f"key_size={size}" for size in range(1, 30))]
    arms += [
        f"model={name}"
        for name in ("abstractor", "simple_abstractor", "transformer", "ntm", "mnm", "rn", "trn", "predinet")
    ]
    entries = legend(styles(arms))
    assert len({(entry["symbol"], entry["color"], entry["dash"]) for entry in entries}) == len(arms)
    assert on_dark("#FFFFFF") == "#FFFFFF"
    assert on_dark("#000000") != "#000000"


# In a browser: one page, looked at in several ways.


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        path = chromium()
    except BrowserError as why:
        pytest.skip(str(why))
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=[*FLAGS])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def file(results: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(results, "s", tmp_path_factory.mktemp("page"))


class Opened:
    """A page opened from disk that keeps what it complained of and asked for."""

    def __init__(self, browser: Browser, file: Path, width: int = 1280, scheme: Any = "light"):
        self.page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(file.as_uri())
        self.page.evaluate("all('.plot').forEach(draw)")  # not only those in view


@pytest.fixture(scope="module")
def page(browser: Browser, file: Path) -> Iterator[Page]:
    opened = Opened(browser, file)
    yield opened.page
    assert opened.complaints == []
    assert opened.requests == [file.as_uri()]


def column(page: Page, part: str, number: int) -> list[str]:
    return (
        page.locator(f"#{part} .table")
        .first.locator(f"tbody tr:not([hidden]) td:nth-child({number})")
        .all_inner_texts()
    )


@pytest.mark.slow
def test_table_sorts_by_number_and_by_word(page: Page) -> None:
    head = page.locator("#trials th button")
    head.nth(5).press("Enter")  # accuracy, by keyboard
    page.wait_for_selector("#trials th[aria-sort=descending]")
    expect(page.locator("#trials tbody td:nth-child(6)").first).to_have_text("97.0")
    told = [float(cell) for cell in column(page, "trials", 6) if cell != "—"]
    assert told == sorted(told, reverse=True)
    assert column(page, "trials", 6)[-2:] == ["—", "—"]
    head.nth(2).click()
    expect(page.locator("#trials tbody td:nth-child(3)").first).to_have_text("tcn=none")
    assert column(page, "trials", 3) == sorted(column(page, "trials", 3), reverse=True)


@pytest.mark.slow
def test_filter_keeps_rows_that_hold_every_word(page: Page) -> None:
    box = page.locator("#trials input[type=search]")
    box.fill("mlp completed")
    assert set(column(page, "trials", 3)) == {"encoder=mlp"}
    assert page.locator("#trials .filter [role=status]").inner_text() == "4 of 21 rows"
    box.fill("")
    assert len(column(page, "trials", 3)) == 21


@pytest.mark.slow
def test_hover_tells_value_n_and_published_value(page: Page) -> None:
    plot = page.locator("#accuracy .plot").first
    plot.scroll_into_view_if_needed()
    plot.locator(".scatterlayer path.point").first.hover(force=True)
    told = page.locator("#accuracy .told").first
    told.get_by_text("ESBN (baseline)").wait_for()
    assert "ours 91.0 ± 1.0 % (mean ± SEM, n = 2 of 2)" in told.inner_text()
    assert "paper 100.0 ± 0.0 % (n = 10)" in told.inner_text()
    assert "difference -9.0 [" in told.inner_text()
    assert page.locator("#accuracy .hovertext").count() > 0


@pytest.mark.slow
def test_arrow_keys_go_from_point_to_point_and_enter_to_the_rows(page: Page) -> None:
    plot = page.locator("#courses .plot").first
    plot.focus()
    plot.press("ArrowRight")
    first = page.locator("#courses .told").first.inner_text()
    plot.press("ArrowRight")
    assert page.locator("#courses .told").first.inner_text() != first
    assert first.startswith("ESBN (baseline), update 10; 70.0")
    assert page.locator("#courses .hovertext").count() == 1
    plot.press("Enter")
    picked = page.locator("#trials tr.picked")
    assert picked.count() == 2
    assert {row.split("\t")[2] for row in picked.all_inner_texts()} == {"baseline"}


@pytest.mark.slow
def test_comparison_tells_difference_interval_and_pairs(page: Page) -> None:
    plot = page.locator("#comparison .plot").first
    plot.focus()
    plot.press("ArrowRight")
    told = "MLP encoder minus baseline, Same/different, m = 0; +0.0 [+0.0, +0.0] points (mean and 95 % interval, 2 of 2"
    assert page.locator("#comparison .told").first.inner_text().startswith(told)


@pytest.mark.slow
def test_legend_hides_an_arm_in_every_figure(page: Page) -> None:
    of_arm = "filter(trace => trace.visible && trace.meta.arm === 'tcn=none').length"
    visible = f"all('#accuracy .plot, #courses .plot').flatMap(plot => plot.data).{of_arm}"
    assert page.evaluate(visible) > 2
    box = page.locator("#courses .legend").get_by_label("no TCN")
    box.uncheck()
    assert page.evaluate(visible) == 0
    assert not page.locator("#accuracy .legend").get_by_label("no TCN").is_checked()
    page.locator("#accuracy .legend button").click()
    assert not box.is_checked()
    page.locator("#accuracy .legend button").click()
    assert box.is_checked()
    assert page.evaluate(visible) > 2


@pytest.mark.slow
def test_key_space_shows_the_steps_and_the_problems_that_are_ticked(page: Page) -> None:
    def seen() -> set[str]:
        traces = page.evaluate(
            "document.querySelector('#keys .plot').data.map(t => [t.visible, t.meta.key, t.meta.split])"
        )
        return {f"{key} {split}" for visible, key, split in traces if visible}

    assert seen() == {f"k{t} {split}" for t in range(1, 10) for split in ("train", "test")}
    page.locator("#splits").get_by_label("train").uncheck()
    assert seen() == {f"k{t} test" for t in range(1, 10)}
    for t in range(2, 10):
        page.locator("#keys").get_by_label(f"k{t}", exact=True).uncheck()
    page.locator("#keys").get_by_label("r3", exact=True).check()
    assert seen() == {"k1 test", "r3 test"}
    page.locator("#keys .plot").focus()
    page.locator("#keys .plot").press("ArrowRight")
    assert page.locator("#keys .told").inner_text().startswith("k1, test problem 0: </script>")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (375, "light"), (375, "dark")])
def test_page_is_accessible_fits_its_width_and_has_the_colours_of_the_scheme(
    browser: Browser, file: Path, width: int, scheme: str
) -> None:
    opened = Opened(browser, file, width, scheme)
    page = opened.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    luminance = sum(map(int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[:3]))
    assert (luminance < 200) == (scheme == "dark")
    marker = page.locator("#accuracy path.point").first.evaluate("marker => getComputedStyle(marker).fill")
    assert (marker == "rgb(0, 114, 178)") == (scheme == "light")
    faults = Axe().run(page).response["violations"]
    assert not faults, json.dumps([(v["id"], [n["html"][:200] for n in v["nodes"][:3]]) for v in faults], indent=1)
    page.locator("#theme").click()
    assert page.evaluate("isDark()") == (scheme == "light")
    assert opened.complaints == []
    assert opened.requests == [file.as_uri()]
    page.close()


@pytest.mark.slow
def test_page_prints_all_rows_without_controls(browser: Browser, file: Path) -> None:
    opened = Opened(browser, file, scheme="dark")
    opened.page.emulate_media(media="print")
    opened.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for control in ("#theme", "nav", "#trials .filter"):
        assert not opened.page.locator(control).is_visible()
    marker = opened.page.locator("#accuracy path.point").first.evaluate("marker => getComputedStyle(marker).fill")
    assert marker == "rgb(0, 114, 178)"
    region = opened.page.locator("#trials .table")
    assert region.evaluate("region => region.scrollHeight <= region.clientHeight + 1")
    assert opened.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    width = "document.querySelector('#accuracy .plot svg').getBoundingClientRect().width"
    assert opened.page.evaluate(width) == 330
    opened.page.emulate_media(media="screen")
    opened.page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(opened.page.locator("#accuracy .plot svg").first).not_to_have_attribute("width", "330")
    assert opened.page.evaluate(width) > 400
    opened.page.close()
