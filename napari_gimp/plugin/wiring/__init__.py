"""What joins each dock with the desk: one class a dock, made by napari with its viewer."""
