"""Every page in a real Chromium.

Phone width, accessibility against a bare Streamlit page, clicks that lead on.
"""

from __future__ import annotations

import re
import time
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from app.components.guide import GLOSSARY
from palm_engine.bundle.writing import rewrite_manifest
from tests.support.browser_tools import (
    PAGES,
    ROOT,
    download,
    open_page,
    open_panel,
    picked,
    serious_violations,
    serve,
    settle,
    unfold,
    until,
    violations_of_bare_streamlit,
    wait_for,
)
from tests.support.bundles import make_bundle

pytestmark = pytest.mark.browser


MENU = "(document.querySelector('[data-testid=stSidebar]')?.getBoundingClientRect().right ?? 0)"


@pytest.fixture(scope="module")
def bare_violations(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    return {
        theme: violations_of_bare_streamlit(browser, tmp_path_factory.mktemp(theme), theme)
        for theme in ("light", "dark")
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_no_serious_violation_beyond_a_bare_page(
    page: Any, url: str, path: str, theme: str, bare_violations: dict[str, set[str]]
) -> None:
    page.emulate_media(color_scheme=theme)
    open_page(page, url, path)
    ours = serious_violations(page)
    # A bare page breaks the rule on contrast too; with our colours ours keeps it.
    bare = bare_violations[theme] - {"color-contrast"}
    assert {rule: what for rule, what in ours.items() if rule not in bare} == {}


def test_the_shipped_demo_breaks_no_rule_either(
    page: Any, shipped: str, bare_violations: dict[str, set[str]]
) -> None:
    for path in PAGES:
        open_page(page, shipped, path)
        ours = serious_violations(page)
        bare = bare_violations["light"] - {"color-contrast"}
        assert {rule: what for rule, what in ours.items() if rule not in bare} == {}, path


@pytest.mark.parametrize("path", PAGES)
def test_nothing_overflows_on_a_phone(page: Any, url: str, path: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_page(page, url, path)
    assert page.evaluate("document.documentElement.scrollWidth") <= 391


def test_five_traits_fit_a_phone(page: Any, url: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    open_panel(page, f"{url}/?portfolio=five")
    assert page.evaluate("document.documentElement.scrollWidth") <= 391


def test_clicking_a_point_of_the_curve_changes_explore(page: Any, url: str) -> None:
    open_page(page, url, "tradeoff")
    until(page.locator(".js-plotly-plot .main-svg").first)
    x, y = page.evaluate("""() => {
          const plot = document.querySelector(".js-plotly-plot");
          const { xaxis, yaxis } = plot._fullLayout;
          const isBest = ([first]) => (first.trace.name || "").startsWith("exact best");
          const curve = plot.calcdata.find(isBest);
          const box = plot.getBoundingClientRect();
          const [x, y] = [xaxis.c2p(curve[1].x), yaxis.c2p(curve[1].y)];
          return [box.x + xaxis._offset + x, box.y + yaxis._offset + y];
        }""")
    page.mouse.move(x - 3, y)
    page.mouse.move(x, y)
    page.wait_for_timeout(300)
    page.mouse.click(x, y)
    page.get_by_role("radio", name="2 members").and_(page.locator("[aria-checked=true]")).wait_for(
        timeout=20_000
    )
    page.get_by_role("link", name="Explore").first.click()
    wait_for(page, "2 members: best 2 of 7 candidates")


def test_back_leaves_a_page_at_once_and_takes_a_choice_back(page: Any, url: str) -> None:
    open_panel(page, f"{url}/?w=90-10-20")
    page.get_by_role("link", name="Guarantee").first.click()
    until(page.get_by_role("heading", name=PAGES["guarantee"]))
    page.wait_for_function("location.search.includes('portfolio=')", timeout=20_000)
    page.go_back()
    until(page.locator("svg.map .puck"))
    page.get_by_role("link", name="Trade-off").first.click()
    until(page.get_by_role("heading", name=PAGES["tradeoff"]))
    page.wait_for_function("location.search.includes('portfolio=')", timeout=20_000)
    page.wait_for_timeout(1_500)
    for size in (2, 4):
        page.get_by_text(f"{size} members", exact=True).first.click()
        page.wait_for_function(f"location.search.includes('k={size}')", timeout=20_000)
        page.wait_for_timeout(1_500)

    def chosen() -> str:
        radios = page.get_by_role("radio", checked=True)
        return str(radios.filter(has_text="member").first.inner_text())

    page.go_back()
    page.wait_for_function("location.search.includes('k=2')", timeout=20_000)
    page.get_by_role("radio", name="2 members").and_(page.locator("[aria-checked=true]")).wait_for(
        timeout=20_000
    )
    assert "2 members" in chosen()
    page.go_forward()
    page.get_by_role("radio", name="4 members").and_(page.locator("[aria-checked=true]")).wait_for(
        timeout=20_000
    )
    page.go_back()
    page.go_back()
    page.wait_for_function("!location.search.includes('k=')", timeout=20_000)
    until(page.get_by_role("heading", name=PAGES["tradeoff"]))
    page.go_back()
    until(page.locator("svg.map .puck"))
    assert "w=90-10-20" in page.url


def test_the_tolerated_loss_is_dragged_on_the_curve(page: Any, url: str) -> None:
    open_page(page, url, "tradeoff")
    until(page.locator(".js-plotly-plot .main-svg").first)
    page.wait_for_timeout(1_500)
    slider = page.get_by_role("slider").first
    before = float(slider.get_attribute("aria-valuetext"))
    x, y = page.evaluate("""() => {
          const named = (plot) => (plot.layout.shapes ?? []).find((s) => s.name === "tolerance");
          const plot = [...document.querySelectorAll(".js-plotly-plot")].find(named);
          plot.scrollIntoView({ block: "center" });
          const { xaxis, yaxis } = plot._fullLayout;
          const box = plot.getBoundingClientRect();
          const height = yaxis.c2p(named(plot).y0);
          return [box.x + xaxis._offset + xaxis._length / 2, box.y + yaxis._offset + height];
        }""")
    page.mouse.move(x - 3, y - 1)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x, y - 20, steps=4)
    page.mouse.move(x, y - 40, steps=4)
    page.mouse.up()
    deadline = time.monotonic() + 20
    while float(slider.get_attribute("aria-valuetext") or 0) < before + 0.005:
        assert time.monotonic() < deadline, "the slider follows the line"
        page.wait_for_timeout(100)


def test_the_crosshair_is_shared_between_explore_and_coverage(page: Any, url: str) -> None:
    open_panel(page, url)
    page.get_by_role("button", name="All humor").click()
    page.wait_for_function("new URLSearchParams(location.search).get('w') === '0-100-0'")
    member = picked(page)[0]
    page.get_by_role("link", name="Coverage").first.click()
    wait_for(page, f"At your weights (safety 0.00, humor 1.00, brevity 0.00): {member} is picked")


def test_a_cell_of_the_matrix_opens_its_prompt_beside_and_keys_step(page: Any, url: str) -> None:
    open_page(page, url, "generations")
    table = page.locator("[data-testid=stDataFrame]").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    # Row 3 of the table; in this bundle all prompts differ as much, so they stand in order.
    page.mouse.click(box["x"] + 60, box["y"] + 35 * 3 + 18)
    page.wait_for_function("new URLSearchParams(location.search).get('prompt') === 'p2'")
    until(page.locator("article", has_text="on p2").first)
    assert page.locator("[data-part=prompt]").inner_text() == "Question p2?"
    page.locator("h1").click()
    page.keyboard.press("j")
    page.wait_for_function("new URLSearchParams(location.search).get('prompt') === 'p3'")
    page.keyboard.press("k")
    page.wait_for_function("new URLSearchParams(location.search).get('prompt') === 'p2'")
    until(page.locator("article", has_text="on p2").first)
    with download(page) as started:
        page.get_by_role("button", name="As JSON Lines").click()
    lines = Path(started.value.path()).read_text().splitlines()
    # Every sample of the members and the base to every prompt.
    assert len(lines) == 6 * 2 * 4


def test_downloads_are_what_they_say(page: Any, url: str, tmp_path: Path) -> None:
    open_page(page, url, "guarantee")
    for name, begin in (("Certificate as JSON", "{"), ("Report to print", "<!doctype html>")):
        with download(page) as started:
            page.get_by_role("button", name=name).click()
        file = tmp_path / started.value.suggested_filename
        started.value.save_as(file)
        text = file.read_text()
        assert text.startswith(begin)
        assert "candidates" in text
    open_panel(page, url)
    for summary in ("Download the map", "Download the bars"):
        unfold(page, summary)
    for figure, kind in product(("map", "trait bars"), ("SVG", "PNG", "CSV")):
        with download(page) as started:
            page.get_by_role("button", name=f"Download the {figure} as {kind}").click()
        file = tmp_path / started.value.suggested_filename
        started.value.save_as(file)
        start = file.read_bytes()[:200]
        if (figure, kind) == ("map", "SVG"):
            told = page.locator("figure .legend span").all_text_contents()
            shown = re.findall(r">([^<>]+)</text>", file.read_text())
            assert len(told) > 3
            assert shown[-len(told) :] == told, "the legend of the page"
            (tmp_path / "map.svg").write_text(file.read_text())
        assert {
            "SVG": b"<svg" in start,
            "PNG": start.startswith(b"\x89PNG"),
            "CSV": b"safety" in start,
        }[kind]


def test_weights_that_do_not_count_are_striped(page: Any, tmp_path: Path) -> None:
    made = make_bundle(tmp_path / "bounded")
    rewrite_manifest(made, made.manifest.model_copy(update={"where": {"safety": (0.2, 1.0)}}))
    with serve(ROOT / "app" / "main.py", "--portfolios", str(tmp_path)) as (address, _):
        for path in ("", "coverage"):
            open_page(page, address, path)
            striped = page.locator("svg.map path.uncounted")
            until(striped, "attached")
            box, whole = striped.bounding_box(), page.locator("svg.map .outline").bounding_box()
            assert box == pytest.approx(whole, abs=6), "what is left out reaches the corners"
            assert "Z" in striped.get_attribute("d")[:-1], "with a hole for those that count"
            until(page.get_by_text("striped: weights that don't count"))
        open_panel(page, address)
        until(page.get_by_text("outside of those that count"), "hidden")
        page.get_by_role("button", name="All humor").click()
        until(page.get_by_text("outside of those that count"))
        unfold(page, "Download the map")
        with download(page) as started:
            page.get_by_role("button", name="Download the map as CSV").click()
        rows = Path(started.value.path()).read_text().splitlines()
        place = rows[0].split(",").index("counts")
        for row in rows[1:]:
            cells = row.split(",")
            assert cells[place] == ("yes" if float(cells[0]) >= 0.2 else "no")
        with download(page) as started:
            page.get_by_role("button", name="Download the map as SVG").click()
        assert "stripes" in Path(started.value.path()).read_text()


VISIBLE = """() => {
    // What can be read without a click: text inside the window that no closed fold hides.
    const words = [];
    const walk = (node) => {
        for (const child of node.childNodes) {
            if (child.nodeType === 3) {
                const range = document.createRange();
                range.selectNode(child);
                const box = range.getBoundingClientRect();
                const seen = box.width > 0 && box.top < innerHeight && box.bottom > 0;
                if (seen && node.checkVisibility({ contentVisibilityAuto: true }))
                    words.push(child.textContent);
            } else if (child.nodeType === 1 && !["STYLE", "SCRIPT"].includes(child.tagName)) {
                walk(child);
                if (child.shadowRoot) walk(child.shadowRoot);
            }
        }
    };
    walk(document.querySelector("[data-testid=stMain]"));
    return words.join(" ");
}"""


# Besides those of the glossary.
ALSO = {"posterior", "LoRA", "adapter", "bootstrap", "envelope", "perplexity", "Vendi", "Dirichlet"}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("which", "size"), [("fixture", (1440, 900)), ("shipped", (1440, 900)), ("shipped", (390, 844))]
)
def test_first_screens_need_no_expert_word(
    page: Any, url: str, shipped: str, path: str, which: str, size: tuple[int, int]
) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    open_page(page, url if which == "fixture" else shipped, path)
    text = page.evaluate(VISIBLE)
    assert PAGES[path] in text
    # Names of policies are what they are.
    text = re.sub(r"(lora|soup)-[\d-]+", "", text)
    read = {word.lower() for word in re.findall(r"[A-Za-z]+", text)}
    words = {name for name, word in GLOSSARY.items() if word.expert} | ALSO
    parts = {
        part.lower() for word in words for part in word.split() if word not in ("usage", "score")
    }
    assert (parts - {"usage", "score"}) & read == set()


@pytest.mark.parametrize("path", PAGES)
def test_a_deep_link_leaves_nothing_in_the_console_but_streamlits_own(
    page: Any, url: str, path: str
) -> None:
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    failed: list[str] = []
    page.on("response", lambda r: failed.append(r.url) if r.status >= 400 else None)
    open_page(page, url, f"{path}?portfolio=demo&w=20-30-50&k=2" if path else "?w=20-30-50&k=2")
    page.wait_for_timeout(500)
    # Streamlit looks for its server below the page's address first.
    own = [f"{url}/{path}/_stcore/{what}" for what in ("health", "host-config")]
    assert set(failed) <= set(own)
    assert [text for text in said if "404" not in text] == []


def test_words_explain_themselves_and_the_switch_says_everything(page: Any, url: str) -> None:
    open_page(page, url, "tradeoff")
    word = page.locator("[data-part=verdict] abbr").first
    assert word.get_attribute("title") == GLOSSARY["member"].meaning
    word.focus()
    shown = word.evaluate("(e) => getComputedStyle(e, '::after').content")
    assert GLOSSARY["member"].meaning in shown
    for path in ("find", "generations", "plan", "guarantee", "coverage"):
        open_page(page, url, path)
        until(page.locator("[data-testid=stMain] abbr[data-tip]").first)
    main = page.locator("[data-testid=stMain]")
    assert "scope" not in main.inner_text().lower()
    page.get_by_text("Expert", exact=True).click()
    until(page.get_by_text("scope: candidates").first)
    assert "expert=1" in page.url


def test_the_menu_of_a_phone_closes_when_a_page_was_chosen(browser: Any, url: str) -> None:
    phone = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = phone.new_page()
    open_panel(page, url)
    page.locator("[data-testid=stExpandSidebarButton]").click()
    page.get_by_role("link", name="Coverage").first.click()
    until(page.get_by_role("heading", name=PAGES["coverage"]))
    page.wait_for_function(
        "(() => { const menu = document.querySelector('[data-testid=stSidebar]');"
        " return !menu || menu.getBoundingClientRect().right <= 0; })()",
        timeout=20_000,
    )
    page.locator("[data-testid=stExpandSidebarButton]").click()
    page.wait_for_function(f"{MENU} > 0", timeout=20_000)
    page.wait_for_timeout(500)
    page.reload()
    until(page.get_by_role("heading", name=PAGES["coverage"]))
    page.wait_for_function(f"{MENU} <= 0", timeout=20_000)
    phone.close()


def test_tables_leave_by_buttons_that_write_no_formula(page: Any, url: str) -> None:
    open_page(page, url, "generations")
    table = page.locator("[data-testid=stDataFrame]").first
    until(table)
    table.hover()
    # Streamlit's own export writes a cell like =1+1 as it is.
    own = page.locator('[aria-label^="Download as CSV"]')
    until(own.first, "attached")
    assert not [i for i in range(own.count()) if own.nth(i).is_visible()]


def test_a_slider_is_one_step_of_the_history(page: Any, url: str) -> None:
    open_page(page, url, "coverage")
    before = page.evaluate("history.length")
    slider = page.get_by_role("slider", name=re.compile("tolerate"))
    slider.focus()
    for _ in range(5):
        at = page.url
        page.keyboard.press("ArrowRight")
        page.wait_for_function("at => location.href !== at", arg=at, timeout=20_000)
    assert page.evaluate("history.length") == before + 1
    settle(page)
    page.go_back()
    page.wait_for_function("!location.search.includes('tolerate=')", timeout=20_000)
    until(page.get_by_role("heading", name=PAGES["coverage"]))


def test_a_charts_image_is_saved_in_one_click(page: Any, url: str) -> None:
    open_page(page, url, "tradeoff")
    opener = page.locator("[class*=st-key-download] button").first
    until(opener)
    for kind, begins in (("PNG", b"\x89PNG"), ("SVG", b"<svg")):
        button = page.get_by_role("button", name=f"Image as {kind}")
        if not button.is_visible():
            opener.click()
        until(button)
        with download(page) as saved:
            button.click()
        path = Path(saved.value.path())
        assert saved.value.suggested_filename.endswith(f".{kind.lower()}")
        assert path.read_bytes().startswith(begins)
