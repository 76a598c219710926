"""Checks of everything a server needs, each by using it. `cove doctor` prints what they find."""
