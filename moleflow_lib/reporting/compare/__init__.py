"""Finished runs side by side: what differs in options, metrics and single images."""
