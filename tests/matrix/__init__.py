"""Runs the tests of log and projector on the oldest and the newest supported versions."""
