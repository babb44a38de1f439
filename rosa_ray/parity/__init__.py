"""Parity: the recorded log goes through the live path, and every feature and score must equal the offline one."""
