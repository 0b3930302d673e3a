"""The example of docs/serving.md for LiteLLM: its own router sends requests to the right member."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("uvicorn")
EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "examples" / "litellm_palm.py"


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    # Its prices come with the package: nothing is fetched.
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")
    pytest.importorskip("litellm")
    from palm_engine.serving.router import Router
    from tests.support.bundles import make_bundle

    routing = tmp_path / "routing.json"
    routing.write_text(json.dumps(Router.of(make_bundle(tmp_path / "mine")).as_json()))
    monkeypatch.setenv("PALM_ROUTING", str(routing))
    spec = importlib.util.spec_from_file_location("litellm_palm", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_litellm_sends_each_request_to_its_member(plugin: Any) -> None:
    import litellm

    from tests.support.engines import FakeEngine, running

    engine = FakeEngine(("m1", "m2", "m3"))
    traits = plugin.ROUTER.traits

    async def play(url: str) -> list[str]:
        own = {"api_base": f"{url}/v1", "api_key": "none"}
        models = [
            {"model_name": m, "litellm_params": {"model": f"openai/{m}", **own}}
            for m in plugin.ROUTER.models
        ]
        router = litellm.Router(model_list=models)
        picked = []
        for trait in traits:
            data = {
                "model": "palm",
                "messages": [{"role": "user", "content": "Hello?"}],
                "palm": {"weights": {trait: 1.0}},
            }
            sent = await plugin.pick_member.async_pre_call_hook(None, None, data, "completion")
            answer = await router.acompletion(**sent)
            assert answer.choices[0].message.content == "one two three"
            picked.append(sent["model"])
        return picked

    with running(engine) as url:
        picked = asyncio.run(play(url))
    assert picked == [plugin.ROUTER.pick({trait: 1.0}).model for trait in traits]
    assert [body["model"] for body in engine.asked] == picked
    assert all(body["messages"][0]["role"] == "system" for body in engine.asked)


def test_other_models_are_left_alone(plugin: Any) -> None:
    data = {"model": "gpt", "messages": [{"role": "user", "content": "Hello?"}]}
    sent = asyncio.run(plugin.pick_member.async_pre_call_hook(None, None, dict(data), "x"))
    assert sent == data
