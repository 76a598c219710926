"""What the image library raises. The message is for the operator and says what to do."""


class ImageError(Exception):
    """Building, importing or finding an image failed."""


class ImageNotFound(ImageError):
    """No image of that name or id."""
