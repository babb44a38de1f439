"""Training on Ray Train; the settings, the step, the loop and the schedule run without Ray."""
