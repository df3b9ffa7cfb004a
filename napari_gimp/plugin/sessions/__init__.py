"""What a window looks like, kept on disk while it is worked in, and put back."""
