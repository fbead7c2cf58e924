"""Vision: one module for each article of the part."""
