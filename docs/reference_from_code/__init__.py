"""The reference pages, each written from the code that it describes: `page()` returns Markdown."""
