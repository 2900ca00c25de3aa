"""Tests of molgen.report."""
