"""The scrape flow: submit -> route -> task -> lease -> fetch -> parse -> validate -> store."""
