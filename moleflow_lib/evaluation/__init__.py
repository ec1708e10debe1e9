"""What the detector finds: R matrices, with the task given and with it chosen."""
