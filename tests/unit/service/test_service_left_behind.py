"""What is said of MIMs that could not be released: nobody is told that a setpoint ends which never does."""

import pytest

from mimctl.service.left_behind import in_words


@pytest.mark.parametrize(
    ("left", "stay", "says"),
    [
        ((), (), ""),
        (("a", "b"), (), "a, b; their validity timers end it"),
        (("a", "b"), {"b"},
         "a; their validity timers end it; b: no timer ends it, the setpoint STAYS; bring it to zero by other means"),
    ],
)  # fmt: skip
def test_names_come_with_what_becomes_of_them(left, stay, says):
    assert in_words(left, stay) == says
