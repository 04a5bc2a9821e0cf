"""The services of the local stack, one a file."""
