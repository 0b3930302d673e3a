"""The live panel in a real Chromium.

Everything moves in the browser, and agrees with the engine.
"""

from __future__ import annotations

import re
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palm_engine.analysis.story import story_of
from palm_engine.bundle.folder import read_bundle
from palm_engine.geometry.pick import pick_info
from tests.support.browser_tools import (
    another_is_picked,
    asked_until_found,
    download,
    drag,
    open_page,
    open_panel,
    picked,
    until,
    wait_for,
    weights_become,
    your_weights,
)

pytestmark = pytest.mark.browser


def wait_for_answer_of(page: Any, member: str) -> None:
    """The server has followed: the card of the picked member's recorded answer is there."""
    cards = page.locator("article", has_text="picked at your weights")
    until(cards.get_by_text(member, exact=True).first)


def test_slider_by_keyboard_changes_member_and_gap(page: Any, url: str) -> None:
    open_panel(page, url)
    first = picked(page)
    page.get_by_role("slider", name="brevity", exact=True).focus()
    page.keyboard.press("End")
    second = another_is_picked(page, first)
    page.get_by_role("slider", name="humor", exact=True).focus()
    page.keyboard.press("Home")
    third = another_is_picked(page, second)
    assert third[1] != second[1]
    assert "safety 33 %, humor 0 %, brevity 67 %" in your_weights(page)
    wait_for_answer_of(page, third[0])


def test_dragging_the_puck_changes_the_member_with_the_server_frozen(
    page: Any, url: str, server: Any
) -> None:
    open_panel(page, url)
    page.wait_for_timeout(1000)
    seen = set()
    server.send_signal(signal.SIGSTOP)
    try:
        for _ in drag(page, 24):
            page.wait_for_timeout(20)
            seen.add(tuple(picked(page)))
    finally:
        server.send_signal(signal.SIGCONT)
    assert len({member for member, _ in seen}) > 1
    assert len(seen) > 12
    wait_for_answer_of(page, picked(page)[0])


def test_the_browser_picks_what_the_engine_picks(page: Any, url: str, bundles: Path) -> None:
    """At weights of every number of traits; the engine's own figures are the reference."""
    draws = np.random.default_rng(1)
    for name, d in (("two", 2), ("demo", 3), ("five", 5)):
        bundle = read_bundle(bundles / name)
        for raw in (draws.random((2, d)) * 100).round(1):
            open_panel(page, f"{url}/?portfolio={name}&w={'-'.join(f'{x:g}' for x in raw)}")
            expected = pick_info(bundle.points, bundle.members, raw / raw.sum())
            assert picked(page) == [bundle.policies[expected.member], f"{expected.gap:.4f}"]


def test_a_copied_address_opens_the_same_view(page: Any, url: str) -> None:
    open_panel(page, url)
    page.get_by_role("button", name="All humor").click()
    page.wait_for_function("new URLSearchParams(location.search).get('w') === '0-100-0'")
    page.wait_for_function("new URLSearchParams(location.search).get('portfolio') === 'demo'")
    there = picked(page)
    other = page.context.new_page()
    open_panel(other, page.url)
    assert picked(other) == there
    assert other.get_by_role("slider", name="humor", exact=True).input_value() == "100"
    other.close()


def test_the_shared_file_is_alive_without_server_or_network(
    page: Any, url: str, tmp_path: Path
) -> None:
    open_panel(page, f"{url}/?w=20-70-10&prompt=p3")
    wait_for(page, "on p3")
    page.get_by_role("slider", name="brevity", exact=True).focus()
    page.keyboard.press("End")
    page.wait_for_function("new URLSearchParams(location.search).get('w') === '20-70-100'")
    wait_for_answer_of(page, picked(page)[0])
    page.wait_for_timeout(500)
    with download(page) as started:
        page.get_by_role("button", name="Share this view").click()
    file = tmp_path / "shared.html"
    started.value.save_as(file)
    alone = page.context.browser.new_context(offline=True)
    shared = alone.new_page()
    problems: list[str] = []
    shared.on("pageerror", lambda error: problems.append(str(error)))
    shared.on(
        "console",
        lambda message: problems.append(message.text) if message.type == "error" else None,
    )
    shared.goto(file.as_uri())
    first = picked(shared)
    assert first == picked(page)
    assert shared.get_by_role("slider", name="brevity", exact=True).input_value() == "100"
    assert shared.locator("#prompt").evaluate("(s) => s.selectedOptions[0].text") == "Question p3?"
    seen = set()
    for _ in drag(shared, 24):
        shared.wait_for_timeout(20)
        seen.add(picked(shared)[0])
    assert len(seen) > 1
    assert "<script>document.title" in shared.locator("#answers").inner_text()
    assert "owned" not in shared.title()
    assert problems == []
    alone.close()


def test_untrusted_text_neither_runs_nor_loads_anything(page: Any, url: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    wait_for(page, "What they answer")
    wait_for(page, "<script>")
    assert "owned" not in page.title()
    assert not [u for u in asked if "example.invalid" in u]
    assert not [
        u for u in asked if not u.startswith((url, "data:", "blob:", url.replace("http", "ws")))
    ]


def test_saved_presets_are_kept_by_the_browser(page: Any, url: str) -> None:
    open_panel(page, f"{url}/?w=12-34-56")
    there = picked(page)
    page.get_by_role("button", name="Save these weights as a preset").click()
    page.get_by_role("button", name="All safety").click()
    open_panel(page, f"{url}/?w=0-0-100")
    page.get_by_role("button", name=re.compile("^Saved: ")).click()
    page.wait_for_function("new URLSearchParams(location.search).get('w') === '12-34-56'")
    assert picked(page) == there


def test_weights_follow_to_other_pages_and_survive_a_reload(page: Any, url: str) -> None:
    open_panel(page, f"{url}/?w=90-10-20")
    page.get_by_role("button", name="All humor").click()
    page.wait_for_function("location.search.includes('w=0-100-0')")
    page.wait_for_timeout(800)
    page.get_by_role("link", name="Guarantee").first.click()
    until(page.get_by_role("heading", name="What is guaranteed?"))
    page.wait_for_function("location.search.includes('w=0-100-0')", timeout=20_000)
    page.reload()
    until(page.get_by_role("heading", name="What is guaranteed?"))
    page.get_by_role("link", name="Explore").first.click()
    until(page.locator("svg.map .puck"))
    assert "humor 100 %" in your_weights(page)


def test_the_puck_moves_by_keyboard(page: Any, url: str) -> None:
    open_panel(page, url)
    puck = page.locator("svg.map .puck")
    puck.focus()
    for _ in range(12):
        page.keyboard.press("Shift+ArrowUp")
    weights_become(page, re.compile(r"safety ([5-9]\d|100) %"))
    assert float(page.get_by_role("slider", name="safety", exact=True).input_value()) > 70
    assert "safety 0." in str(puck.get_attribute("aria-valuetext"))
    page.keyboard.press("Home")
    weights_become(page, "safety 33 %, humor 33 %, brevity 33 %")


def test_a_slice_of_five_traits_is_chosen_and_dragged(page: Any, url: str) -> None:
    open_panel(page, f"{url}/?portfolio=five&w=10-20-30-40-50")
    page.get_by_role("combobox", name="Trait at corner 1").select_option("4")
    assert "depth" in str(page.locator("svg.map").text_content())
    for _ in drag(page, 8):
        page.wait_for_timeout(20)
    # What isn't on the triangle is held: warmth had 40 of 150.
    weights_become(page, "warmth 27 %")
    # The corners are in the address, on other pages, and after a reload.
    page.wait_for_url(re.compile(r"corners=4\.1\.2"))
    page.get_by_role("link", name="Coverage").first.click()
    first = page.get_by_role("combobox", name="Trait at corner 1")
    until(first)
    assert first.input_value() == "4"
    page.reload()
    until(first)
    assert first.input_value() == "4"


def test_numbers_of_lines_hide_no_dot_and_stay_inside(page: Any, shipped: str) -> None:
    open_page(page, shipped, "coverage")
    page.get_by_role("radio", name="Gap", exact=True).click()
    until(page.locator("svg.map text.level").first, "attached")
    found = page.evaluate(
        """() => {
        const box = (e) => { const b = e.getBoundingClientRect();
            return [b.left, b.top, b.right, b.bottom]; };
        const root = [...document.querySelectorAll("*")].map((e) => e.shadowRoot)
            .find((r) => r?.querySelector("svg.map"));
        const all = (q) => [...root.querySelectorAll(q)];
        return { levels: all("svg.map text.level").map(box),
            dots: all("svg.map circle.dot").map(box), whole: box(all("svg.map .outline")[0]) };
    }"""
    )
    assert found["levels"], "some lines have numbers"
    assert found["dots"]
    left, top, right, bottom = found["whole"]
    for x1, y1, x2, y2 in found["levels"]:
        assert left <= x1 < x2 <= right
        assert top <= y1 < y2 <= bottom + 2
        for u1, v1, u2, v2 in found["dots"]:
            assert x2 < u1 or u2 < x1 or y2 < v1 or v2 < y1, "a number stands over a dot"


def test_a_triangle_without_weight_takes_the_heaviest_trait_and_moves(page: Any, url: str) -> None:
    open_panel(page, f"{url}/?portfolio=five&w=0-0-0-100-0")
    for _ in drag(page, 8):
        page.wait_for_timeout(20)
    weights_become(page, re.compile(r"warmth \d\d? %"))
    assert "warmth" in str(page.locator("svg.map").text_content())


def test_the_first_touch_of_the_map_keeps_the_sliders_height(page: Any, url: str) -> None:
    open_panel(page, f"{url}/?w=50-50-50")
    page.locator("svg.map .puck").focus()
    page.keyboard.press("Home")
    weights_become(page, "safety 33 %, humor 33 %, brevity 33 %")
    assert page.get_by_role("slider", name="safety", exact=True).input_value() == "50"


def test_two_traits_show_where_members_were_trained_and_the_threshold(page: Any, url: str) -> None:
    open_panel(page, f"{url}/?portfolio=two&tolerate=0.001")
    assert page.locator("svg.map circle.dot").count() == 3
    page.get_by_role("link", name="Coverage").first.click()
    until(page.locator("svg.map path.threshold"), "attached")
    page.get_by_role("radio", name="A trait").click()
    until(page.locator("svg.map path.threshold"), "detached")


def test_the_answer_swaps_under_the_hand_with_the_server_frozen(
    page: Any, url: str, server: Any
) -> None:
    open_panel(page, f"{url}/?prompt=p2")
    wait_for(page, "Question p2?")
    page.wait_for_timeout(1000)
    answers = set()
    server.send_signal(signal.SIGSTOP)
    try:
        for _ in drag(page, 24):
            page.wait_for_timeout(20)
            member = picked(page)[0]
            answer = page.locator("[data-part=answer]").inner_text()
            assert answer.startswith(f"{member} on p2:")
            answers.add(answer)
    finally:
        server.send_signal(signal.SIGCONT)
    assert len(answers) > 1


def test_one_model_this_portfolio_and_the_best_repaint_map_answer_and_loss(
    page: Any, url: str, bundles: Path
) -> None:
    bundle = read_bundle(bundles / "demo")
    w = np.array([0.1, 0.1, 0.8])
    open_panel(page, f"{url}/?w=10-10-80&prompt=p1")
    told = story_of(bundle, bundle.members)
    sentence = page.locator("[data-part=story]").inner_text()
    assert sentence == told.in_words("reward units")
    values = bundle.points @ w
    expected = {
        "One model": told.single,
        "This portfolio": max(bundle.members, key=lambda i: values[i]),
        "Best there is": int(values.argmax()),
    }
    for mode, row in expected.items():
        page.get_by_role("radio", name=mode).click()
        assert picked(page) == [bundle.policies[row], f"{values.max() - values[row]:.4f}"]
        assert page.get_by_role("radio", name=mode).get_attribute("aria-checked") == "true"
        answer = page.locator("[data-part=answer]").inner_text()
        assert answer.startswith(f"{bundle.policies[row]} on p1:")
    assert page.locator("svg.map image").count() == 0
    page.get_by_role("radio", name="One model").click()
    assert page.locator("svg.map image").count() == 1
    # What is shown is in the address, outlives a look at another page, and opens from a link.
    page.wait_for_function("location.search.includes('show=One')", timeout=20_000)
    link = page.url
    page.get_by_role("link", name="Guarantee").first.click()
    until(page.get_by_role("heading", name="What is guaranteed?"))
    page.get_by_role("link", name="Explore").first.click()
    for _ in range(2):
        until(page.get_by_role("radio", name="One model"))
        checked = page.get_by_role("radio", name="One model").get_attribute("aria-checked")
        assert checked == "true"
        open_panel(page, link)


def test_sliders_map_and_answer_are_above_the_fold(page: Any, url: str) -> None:
    page.set_viewport_size({"width": 1440, "height": 900})
    open_panel(page, url)
    for part in ("[data-part=story]", "svg.map", "[data-part=answer]"):
        box = page.locator(part).bounding_box()
        assert box["y"] >= 0
        assert box["y"] + box["height"] <= 900, part
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(500)
    first = page.get_by_role("slider", name="safety", exact=True).bounding_box()
    chart = page.locator("svg.map").bounding_box()
    assert chart["y"] + chart["height"] - first["y"] <= 844 - 120


def test_zoomed_to_200_percent_sliders_and_map_are_seen_together(page: Any, url: str) -> None:
    page.set_viewport_size({"width": 720, "height": 450})
    open_panel(page, url)
    page.wait_for_timeout(500)
    first = page.get_by_role("slider", name="safety", exact=True).bounding_box()
    last = page.get_by_role("slider", name="brevity", exact=True).bounding_box()
    chart = page.locator("svg.map").bounding_box()
    assert (
        max(last["y"] + last["height"], chart["y"] + chart["height"]) - min(first["y"], chart["y"])
        <= 450 - 60
    )
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


def test_a_finger_scrolls_over_the_map_and_a_tap_sets_the_weights(browser: Any, url: str) -> None:
    phone = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    page = phone.new_page()
    open_panel(page, f"{url}/?w=50-50-50")
    chart = page.locator("svg.map")
    box = chart.bounding_box()
    assert chart.evaluate("(svg) => getComputedStyle(svg).touchAction") == "pan-y"
    page.touchscreen.tap(box["x"] + 0.2 * box["width"], box["y"] + 0.85 * box["height"])
    weights_become(page, re.compile("humor [78]"))
    phone.close()


def test_weights_found_by_questions_move_the_sliders(page: Any, url: str) -> None:
    page.goto(f"{url}/find")
    until(page.locator("[data-part=asked]"))
    page.wait_for_timeout(1000)  # keys count from when the page has settled

    def answer(_: int) -> None:
        first = page.locator("[data-part=first]").inner_text()
        second = page.locator("[data-part=second]").inner_text()
        key = "ArrowLeft" if "m1 on" in first else "ArrowRight" if "m1 on" in second else "s"
        page.keyboard.press(key)

    asked_until_found(page, answer)
    assert page.locator("[data-part=found]").inner_text() == "m1"
    page.get_by_role("button", name="Use these weights").click()
    wait_for(page, "These are your weights now")
    page.get_by_role("link", name="Explore").first.click()
    until(page.locator("[data-part=picked]"))
    assert picked(page)[0] == "m1"
    # What was found on another page can be taken back here.
    page.get_by_role("button", name="Undo the last change of the weights").click()
    page.wait_for_function("() => /w=50-50-50/.test(location.search)")


def test_a_change_of_the_weights_can_be_undone(page: Any, url: str) -> None:
    open_panel(page, f"{url}/?w=20-70-10")
    undo = page.get_by_role("button", name="Undo the last change of the weights")
    assert undo.is_disabled()
    page.get_by_role("button", name="All safety").click()
    page.get_by_role("slider", name="humor", exact=True).focus()
    page.keyboard.press("End")
    for _ in drag(page, 6):
        page.wait_for_timeout(20)
    undo.click()
    weights_become(page, "safety 50 %, humor 50 %, brevity 0 %")
    undo.click()
    undo.click()
    weights_become(page, "safety 20 %, humor 70 %, brevity 10 %")
    assert undo.is_disabled()
