"""Compares PNGs without a library: 8-bit RGB, not interlaced, which is what t2i writes."""
import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def paeth(left, up, corner):
    """PNG specification, 9.4."""
    estimate = left + up - corner
    to_left, to_up, to_corner = abs(estimate - left), abs(estimate - up), abs(estimate - corner)
    if to_left <= to_up and to_left <= to_corner:
        return left
    return up if to_up <= to_corner else corner


def unfilter(kind, line, above, pixel):
    """Undoes one row's filter in place. pixel: bytes a pixel."""
    if kind == 0:
        return
    for i, value in enumerate(line):
        left = line[i - pixel] if i >= pixel else 0
        up = above[i]
        if kind == 1:
            add = left
        elif kind == 2:
            add = up
        elif kind == 3:
            add = (left + up) // 2
        elif kind == 4:
            add = paeth(left, up, above[i - pixel] if i >= pixel else 0)
        else:
            raise ValueError(f"filter {kind}")
        line[i] = (value + add) & 255


def chunks(data):
    if data[:8] != SIGNATURE:
        raise ValueError("not a PNG")
    at = 8
    while at + 12 <= len(data):
        (length,) = struct.unpack(">I", data[at : at + 4])
        if at + 12 + length > len(data):
            raise ValueError("cut short")
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + length]
        (crc,) = struct.unpack(">I", data[at + 8 + length : at + 12 + length])
        if crc != zlib.crc32(name + body):
            raise ValueError(f"checksum of {name!r}")
        yield name, body
        at += 12 + length


def decode(data):
    """(width, height, bytes [height, width, 3]) of a PNG in memory. Raises ValueError."""
    width = height = 0
    packed = b""
    for name, body in chunks(data):
        if name == b"IHDR":
            width, height, depth, colour, _, _, interlace = struct.unpack(">IIBBBBB", body)
            if (depth, colour, interlace) != (8, 2, 0):
                raise ValueError("not 8-bit RGB without interlacing")
        elif name == b"IDAT":
            packed += body
    raw = zlib.decompress(packed)
    stride = 3 * width
    if width == 0 or len(raw) != height * (stride + 1):
        raise ValueError("not as many bytes as its size needs")
    rows, above = [], bytes(stride)
    for y in range(height):
        start = y * (stride + 1)
        line = bytearray(raw[start + 1 : start + 1 + stride])
        unfilter(raw[start], line, above, 3)
        rows.append(bytes(line))
        above = line
    return width, height, b"".join(rows)


def compare(first, second, levels=2):
    """How far two PNGs in memory are apart. A pixel's difference is its largest channel's."""
    (width, height, a), (other_width, other_height, b) = decode(first), decode(second)
    if (width, height) != (other_width, other_height):
        raise ValueError(f"{width}x{height} against {other_width}x{other_height}")
    histogram = [0] * 256
    for i in range(0, len(a), 3):
        histogram[max(abs(a[i] - b[i]), abs(a[i + 1] - b[i + 1]), abs(a[i + 2] - b[i + 2]))] += 1
    pixels = width * height
    return {
        "pixels": pixels,
        "largest": max(d for d, count in enumerate(histogram) if count),
        "mean": sum(d * count for d, count in enumerate(histogram)) / pixels,
        f"share_within_{levels}": sum(histogram[: levels + 1]) / pixels,
    }
