"""The campaign: its loop, its folder, its wiring."""
