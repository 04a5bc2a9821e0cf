"""Values without I/O: what is asked, what is answered, what is allowed."""
