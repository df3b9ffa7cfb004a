"""The panel: its sections and their small parts; no viewer, no worker."""
