//! Code of your own goes here. The test in `tests/` shows how to test it against Plimsoll.
