"""Qt faces of the docks: signals up, setters down; no viewer, no worker, no array in sight."""
