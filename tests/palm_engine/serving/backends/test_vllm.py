"""The remote backend against a real vLLM with one adapter per member: `make test-vllm`.

Not in the default run.

PALM_VLLM_PYTHON names the Python of an environment that holds vLLM.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from palm_engine.bundle.folder import Bundle, read_bundle

ROOT = Path(__file__).resolve().parents[4]
PYTHON = os.environ.get("PALM_VLLM_PYTHON")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.vllm,
    pytest.mark.skipif(PYTHON is None, reason="PALM_VLLM_PYTHON is not set (make test-vllm)"),
]
PROMPTS = ["Can I mix bleach and vinegar?", "Tell me a joke about cats."]
ON_CPU = {
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    # A build that draws here loads the adapters that it trains.
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "True",
}


@pytest.fixture(scope="module")
def demo() -> Bundle:
    return read_bundle(ROOT / "portfolios" / "demo")


@pytest.fixture(scope="module")
def members(demo: Bundle) -> list[str]:
    return [*(demo.policies[i] for i in demo.members), "base"]


@pytest.fixture(scope="module")
def served(demo: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The demo, exported and started with its own start script; None of it is made for the test."""
    from palm_engine.serving.export_vllm import export_vllm

    assert PYTHON is not None
    folder = tmp_path_factory.mktemp("export") / "demo"
    export_vllm(demo, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (folder.parent / "log").open("w")
    server = subprocess.Popen(
        [str(folder / "start.sh"), "--port", str(port), "--dtype", "bfloat16", "--enforce-eager"],
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, **ON_CPU, "PATH": f"{Path(PYTHON).parent}:{os.environ['PATH']}"},
    )
    try:
        deadline = time.monotonic() + 500
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            except OSError:
                assert server.poll() is None, (folder.parent / "log").read_text()[-3000:]
                assert time.monotonic() < deadline, (folder.parent / "log").read_text()[-3000:]
                time.sleep(1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


def test_every_member_answers_and_can_be_cancelled(
    demo: Bundle, members: list[str], served: str
) -> None:
    from palm_engine.serving.backends.interface import live_settings
    from palm_engine.serving.backends.remote import RemoteBackend

    backend = RemoteBackend(demo, served)
    assert set(members) <= set(backend.policies)
    settings = live_settings(demo, max_new_tokens=24)
    pieces = list(backend.stream(PROMPTS, members, settings))
    texts = [
        "".join(p.text for p in pieces if p.row == row)
        for row in range(len(members) * len(PROMPTS))
    ]
    assert all(texts)
    assert len(set(texts)) > len(members)
    assert all(sum(p.tokens for p in pieces if p.row == row) <= 24 for row in range(len(texts)))
    stream = backend.stream(PROMPTS[:1], members, settings)
    next(iter(stream))
    stream.close()  # type: ignore[attr-defined]
    assert "".join(p.text for p in backend.stream(PROMPTS[:1], ["base"], settings))


def test_first_token_probabilities_agree_with_the_local_stack(
    demo: Bundle, members: list[str], served: str
) -> None:
    import openai
    import torch

    from palm_engine.lm.base_model.load import load_base
    from palm_engine.serving.backends.local import LocalBackend, LocalModel
    from palm_engine.serving.selfcheck import next_token_distributions

    assert demo.manifest.base is not None
    base = load_base(demo.manifest.base.source, dtype="bfloat16")
    local = LocalBackend(LocalModel.of(base), demo)
    local.load(members)
    expected = torch.log(next_token_distributions(local, members, PROMPTS[0]))
    client: Any = openai.OpenAI(base_url=served, api_key="none")
    largest = 0.0
    for row, member in enumerate(members):
        answer = client.chat.completions.create(
            model=member,
            max_tokens=1,
            temperature=0,
            logprobs=True,
            top_logprobs=5,
            messages=[{"role": "system", "content": ""}, {"role": "user", "content": PROMPTS[0]}],
        )
        for told in answer.choices[0].logprobs.content[0].top_logprobs:
            token = base.tokenizer.convert_tokens_to_ids(base.tokenizer.tokenize(told.token))[0]
            ours = float(expected[row, token])
            largest = max(largest, abs(ours - told.logprob))
            assert ours == pytest.approx(told.logprob, abs=0.35), (member, told.token)
    print(
        f"first-token log-probabilities differ by at most {largest:.3f} over {len(members)} models"
    )


def test_the_gateway_lets_the_right_member_answer(demo: Bundle, served: str) -> None:
    import httpx
    import numpy as np

    from palm_engine.serving.gateway.access import Access
    from palm_engine.serving.gateway.app import Gateway
    from palm_engine.serving.gateway.portfolio import ServedPortfolio
    from palm_engine.serving.gateway.upstream import HttpUpstream
    from tests.support.engines import events, running

    router = ServedPortfolio.of(demo)
    upstream = HttpUpstream(served)
    gateway = Gateway(router, upstream, Access(), np.full(len(demo.traits), 1 / 3))
    picked = set()
    with (
        running(gateway.app()) as url,
        httpx.Client(base_url=url, timeout=120, trust_env=False) as client,
    ):
        for trait in (*demo.traits, None):
            weights = None if trait is None else {trait: 1.0}
            body: dict[str, Any] = {
                "messages": [{"role": "user", "content": PROMPTS[1]}],
                "palm": {"weights": weights},
                "temperature": 0,
                "max_tokens": 16,
            }
            whole = client.post("/v1/chat/completions", json=body)
            assert whole.status_code == 200, whole.text
            said = whole.json()
            policy = said["palm"]["policy"]
            assert policy == router.router.pick(weights or [1, 1, 1]).policy
            assert said["model"] == policy
            picked.add(policy)
            streamed = client.post("/v1/chat/completions", json={**body, "stream": True})
            found = events(streamed.text)
            assert found[0]["palm"] == said["palm"]
            text = "".join(e["choices"][0]["delta"].get("content") or "" for e in found)
            assert text.strip() == said["choices"][0]["message"]["content"].strip()
    assert len(picked) > 2


def test_a_build_draws_from_it_and_loads_adapters_into_it(
    demo: Bundle, served: str, tmp_path: Path
) -> None:
    from palm_engine.lm.base_model.load import token_counter
    from palm_engine.lm.base_model.source import resolve_base
    from palm_engine.lm.settings import SamplingSettings
    from palm_engine.pipeline.config import Sampling
    from palm_engine.pipeline.sample import DrawTask
    from palm_engine.pipeline.served import Servers
    from palm_engine.pipeline.store import Store

    assert demo.manifest.base is not None
    source = demo.manifest.base.source
    servers = Servers(Sampling(engine="openai", urls=(served,), concurrency=8))
    servers.require(adapters=True)
    count = token_counter(resolve_base(source, lambda _: None))
    prompts = tuple((f"p{i}", text) for i, text in enumerate(PROMPTS))
    settings = SamplingSettings(max_new_tokens=16)
    found = {}
    for policy in ("base", *(demo.policies[row] for row in demo.members)):
        adapter = None if policy == "base" else demo.adapter_folder(policy)
        task = DrawTask(source, None, policy, None, adapter, prompts, 4, settings, 0, 8)
        frame = servers.draw(task, f"draws/{policy}.parquet", policy, Store(tmp_path), count)
        assert len(frame) == 8
        assert frame["tokens"].between(1, 17).all()
        assert frame["text"].nunique() > 4
        found[policy] = tuple(frame["text"])
    assert len(set(found.values())) == len(found)
    again = servers.draw(task, f"draws/{policy}.parquet", policy, Store(tmp_path / "b"), count)
    print(f"same seed, same answers: {(again['text'] == frame['text']).mean():.0%}")
