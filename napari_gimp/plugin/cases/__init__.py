"""A list of cases, what is known of each, and running them one after another."""
