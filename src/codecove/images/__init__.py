"""Sandbox images: building, keeping, importing and testing them."""
