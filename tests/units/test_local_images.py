"""Making images without containers.  `pytest tests/units/test_local_images.py`"""

import pytest
import uv

from local import images
from local.home import PlatformError


def test_threads_that_make_images_do_not_ask_where_uv_is(monkeypatch: pytest.MonkeyPatch) -> None:
    # It asks sysconfig, which fills itself at the first question and half-answers who asks meanwhile.
    def ask() -> str:
        raise TypeError("sysconfig is not filled yet")

    monkeypatch.setattr(uv, "find_uv_bin", ask)
    images.run_uv("--version")
    with pytest.raises(PlatformError, match="could not be installed: error: unrecognized subcommand 'nonsense'"):
        images.run_uv("nonsense")
