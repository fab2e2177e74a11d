"""How the hosts of the family differ."""

from __future__ import annotations

import pytest

from personakit.providers.sunoapi.presets import KIE, SUNOAPI, SUNOAPI_ORG
from personakit.receipt import Ability


@pytest.mark.parametrize(
    ("preset", "name", "base_url", "credits_path", "variable"),
    [
        (
            SUNOAPI,
            "sunoapi",
            "https://apibox.erweima.ai",
            "/api/v1/generate/credit",
            "SUNOAPI_API_KEY",
        ),
        (
            SUNOAPI_ORG,
            "sunoapi.org",
            "https://api.sunoapi.org",
            "/api/v1/generate/credit",
            "SUNOAPI_API_KEY",
        ),
        (KIE, "kie", "https://api.kie.ai", "/api/v1/chat/credit", "KIE_API_KEY"),
    ],
)
def test_hosts(preset, name, base_url, credits_path, variable):
    """Each host is where its pages say, with the key of its own account."""
    assert (preset.name, preset.base_url) == (name, base_url)
    assert (preset.credits_path, preset.key_variable) == (credits_path, variable)


def test_only_hosts_that_take_files_offer_uploads():
    """The host of the specification names no address for files."""
    told = [Ability.UPLOAD in one.abilities for one in (SUNOAPI, SUNOAPI_ORG, KIE)]

    assert told == [False, True, True]
