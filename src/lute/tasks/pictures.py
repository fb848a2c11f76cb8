"""Arrays -> PNG, with numpy alone: what a detector saw, or a picture that is ready."""

from __future__ import annotations

import base64
import struct
import zlib
from typing import Any

LONGEST_SIDE = 4096
"""A picture with more rows or columns is made smaller."""
LOW, HIGH = 1, 99
"""The percentiles of a grey picture's values that become black and white."""
SMALL = 400
"""A picture with fewer columns is shown larger, with each value as a square."""


def is_array(value: Any) -> bool:
    """Returns whether a value is an array of numpy, or of its kind."""
    return hasattr(value, "dtype") and hasattr(value, "shape")


def picture(array: Any) -> tuple[str, str]:
    """Returns an array as an HTML image, and what there is to say about it.

    Args:
        array: Numbers of shape `(rows, cols)`, shown in grey; or colours of shape `(rows, cols, 3)` or, with
            opacity, `(rows, cols, 4)`: whole numbers up to the greatest of their type, or fractions from 0 to 1.

    Raises:
        TypeError: It is an array of another kind.
    """
    import numpy

    masked = isinstance(array, numpy.ma.MaskedArray)
    values = numpy.ma.filled(array.astype(float), numpy.nan) if masked else numpy.asarray(array)
    colours = values.ndim == 3 and values.shape[2] in (3, 4)
    if values.dtype.kind not in "biuf" or not (colours or values.ndim == 2) or not values.size:
        raise TypeError(
            f"an array of {values.dtype} with shape {values.shape} is no picture: give (rows, cols) for grey, or"
            " (rows, cols, 3 or 4) for colours; a stack of pictures as a list"
        )
    size = f"{values.shape[0]} x {values.shape[1]} pixels"
    values, smaller = _smaller(values)
    pixels, scale = _colours(values) if colours else _grey(values)
    note = ". ".join(text for text in (size + smaller, scale) if text) + "."
    width = values.shape[1]
    style = f' class="pixels" style="width:{width * -(-SMALL // width)}px"' if width < SMALL else ""
    data = base64.b64encode(png(pixels)).decode()
    return f'<img alt="Image, {note}"{style} src="data:image/png;base64,{data}">', note


def _smaller(values: Any) -> tuple[Any, str]:
    """Returns a large array with fewer rows and columns. What is bright stays so: peaks must not disappear."""
    import numpy

    step = -(-max(values.shape[:2]) // LONGEST_SIDE)
    if step == 1:
        return values, ""
    rows, cols = (size - size % step for size in values.shape[:2])
    blocks = values[:rows, :cols].reshape(rows // step, step, cols // step, step, *values.shape[2:])
    return numpy.fmax.reduce(blocks, axis=(1, 3)), f", each shown pixel the greatest of {step} x {step}"


def _grey(values: Any) -> tuple[Any, str]:
    import numpy

    numbers = values.astype(float)
    known = numbers[numpy.isfinite(numbers)]
    if not known.size:
        return numpy.zeros(numbers.shape, "u1"), "No finite values"
    least, greatest = float(known.min()), float(known.max())
    low, high = (float(part) for part in numpy.percentile(known, (LOW, HIGH)))
    said = f"percentiles {LOW} and {HIGH}"
    if low == high:
        low, high, said = least, greatest, "least and greatest"
    scaled = (numbers - low) / ((high - low) or 1.0) * 255
    pixels = numpy.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0).clip(0, 255).round().astype("u1")
    return pixels, f"Black is {low:.4g}, white is {high:.4g} ({said}); values from {least:.4g} to {greatest:.4g}"


def _colours(values: Any) -> tuple[Any, str]:
    import numpy

    if values.dtype == numpy.uint8:
        return values, ""
    full = 1.0 if values.dtype.kind in "bf" else float(numpy.iinfo(values.dtype).max)
    scaled = numpy.nan_to_num(values.astype(float) / full * 255).clip(0, 255).round()
    return scaled.astype("u1"), ""


def png(pixels: Any) -> bytes:
    """Returns an array of `u1` with shape `(rows, cols)` or `(rows, cols, 3 or 4)` as a PNG file."""
    import numpy

    rows, cols = pixels.shape[:2]
    kind = {2: 0, 3: 2, 4: 6}[pixels.ndim if pixels.ndim == 2 else pixels.shape[2]]
    lines = numpy.zeros((rows, pixels[0].size + 1), "u1")  # each line begins with 0: no filter
    lines[:, 1:] = pixels.reshape(rows, -1)
    head = struct.pack("!IIBBBBB", cols, rows, 8, kind, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + name + data + struct.pack("!I", zlib.crc32(name + data))
