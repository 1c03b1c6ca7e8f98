#!/usr/bin/env python3
"""Makes the pictures beside it, and what Pillow sees in them.

    python -m pip install pillow==13.0.0 numpy
    python make.py

Each case is a file NAME.jpg, .png or .webp; NAME.rgb.png holds what `exif_transpose(...).convert("RGB")` makes of it.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT = 45, 30
ORIENTATION = 0x0112


def scene() -> Image.Image:
    """A smooth picture without symmetry, so that a wrong turn or channel shows."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    red = 255 * x / (WIDTH - 1)
    green = 255 * y / (HEIGHT - 1)
    blue = 127 + 120 * np.sin(x / 9) * np.cos(y / 7)
    return Image.fromarray(np.stack([red, green, blue], axis=-1).round().astype(np.uint8), "RGB")


def main() -> None:
    """Write everything."""
    rgb = scene()
    alpha = rgb.copy()
    alpha.putalpha(rgb.getchannel("R"))
    exif = Image.Exif()
    exif[ORIENTATION] = 6

    rgb.save(HERE / "444.jpg", quality=95, subsampling=0)
    rgb.save(HERE / "420.jpg", quality=95, subsampling=2)
    rgb.save(HERE / "progressive.jpg", quality=95, progressive=True)
    rgb.save(HERE / "restart.jpg", quality=95, restart_marker_blocks=2)
    rgb.save(HERE / "turned.jpg", quality=95, subsampling=0, exif=exif)
    rgb.convert("L").save(HERE / "grey.jpg", quality=95)
    rgb.convert("CMYK").save(HERE / "cmyk.jpg", quality=95)
    rgb.save(HERE / "rgb.png")
    rgb.save(HERE / "turned.png", exif=exif)
    alpha.save(HERE / "alpha.png")
    alpha.convert("LA").save(HERE / "grey-alpha.png")
    rgb.convert("1").save(HERE / "bilevel.png")
    rgb.quantize(200).save(HERE / "palette.png")
    rgb.quantize(12).save(HERE / "palette-transparent.png", transparency=3)
    rgb.save(HERE / "lossy.webp", quality=95)
    rgb.save(HERE / "lossless.webp", lossless=True)
    alpha.save(HERE / "alpha.webp", quality=95)
    rgb.save(HERE / "turned.webp", lossless=True, exif=exif)
    rgb.save(HERE / "animated.webp", lossless=True, save_all=True, append_images=[rgb.rotate(180)])

    for path in sorted(HERE.iterdir()):
        if path.suffix in (".jpg", ".png", ".webp") and not path.name.endswith(".rgb.png"):
            with Image.open(path) as image:
                print(path.name, image.mode, path.stat().st_size)
                ImageOps.exif_transpose(image).convert("RGB").save(HERE / f"{path.name}.rgb.png", optimize=True)


if __name__ == "__main__":
    main()
