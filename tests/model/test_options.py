"""The options have one name each, and old names still work."""

from __future__ import annotations

import pytest

import pam_model


def test_the_old_name_of_automatic_mask_options_says_what_to_write_instead():
    with pytest.warns(DeprecationWarning, match="write pam_model.AutomaticMaskOptions") as warned:
        old = pam_model.EverythingOptions
    assert old is pam_model.AutomaticMaskOptions
    assert warned[0].filename == __file__


def test_a_name_that_never_was_is_not_there():
    with pytest.raises(AttributeError, match="NoSuchName"):
        pam_model.NoSuchName  # noqa: B018 (asking is the test)
