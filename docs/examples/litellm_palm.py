"""LiteLLM's proxy in front of a portfolio: the member that suits a request's weights answers.

In LiteLLM's config.yaml, beside a model for each member under the name that routing.json gives it:

    litellm_settings:
      callbacks: litellm_palm.pick_member
"""

from __future__ import annotations

import os
from typing import Any

from litellm.integrations.custom_logger import CustomLogger

from palm_engine import Router

ROUTER = Router.from_file(os.environ.get("PALM_ROUTING", "served-demo/routing.json"))


class PickMember(CustomLogger):
    """Requests for the model `palm` go to the member that is best at their weights."""

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, data: dict[str, Any], call_type: Any
    ) -> dict[str, Any]:
        """Put in the member's model and system prompt; other models' requests stay as they are."""
        if data.get("model") != "palm":
            return data
        weights = (data.pop("palm", None) or {}).get("weights")
        route = ROUTER.pick(weights or [1.0] * len(ROUTER.traits))
        rest = [message for message in data["messages"] if message["role"] != "system"]
        own = [m["content"] for m in data["messages"] if m["role"] == "system"]
        system = "\n\n".join(part for part in (route.system, *own) if part)
        data["model"] = route.model
        data["messages"] = [{"role": "system", "content": system}, *rest]
        return data


pick_member = PickMember()
