"""From a task's parts to patch scores, image scores and pixel maps."""
